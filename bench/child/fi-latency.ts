// Ping-pong over libfabric/fi: the loop of bench/native/latency.c, call by call.
import { performance } from 'node:perf_hooks';
import type { CompletionQueue, Endpoint, Memory } from 'libfabric/fi';
import { type Opened, READ_BATCH, SPIN_MICROSECONDS, contextOf, openLoop, slotBytes } from './fi-open.js';
import {
  type Result,
  type Settings,
  barrier,
  exchange,
  runChild,
  startMeter,
  statistics,
  summary,
} from './link.js';
import { PROOFS, checkPattern, pattern } from './pattern.js';

// As many as the C loop posts.
const RECEIVES = 16;
// Contexts of receives begin at 1.
const SEND = 0;
const SILENCE_MS = 20_000;

const TRIAL_BLOCKS = 8;
const MAX_TRIAL_ROUND_TRIPS = 2000;

class PingPong {
  /** fi_inject(3) instead of fi_send(3). */
  inject = false;
  #sendPending = false;
  #received = false;
  #used = 0;
  #heardAt = 0;

  private readonly endpoint: Endpoint;
  private readonly queue: CompletionQueue;
  private readonly memory: Memory;
  private readonly peer: number;
  private readonly stride: number;

  constructor(
    private readonly opened: Opened,
    private readonly size: number,
  ) {
    // At hand for the loop that is measured.
    ({
      endpoint: this.endpoint,
      queue: this.queue,
      memory: this.memory,
      peer: this.peer,
      stride: this.stride,
    } = opened);
  }

  postReceive(context: number): boolean {
    return this.endpoint.recv(this.memory, context * this.stride, this.size, context);
  }

  #progress(spinMicroseconds: number): void {
    const count = this.queue.read(READ_BATCH, spinMicroseconds);
    if (count === 0 && spinMicroseconds !== 0) this.#checkSilence();
    for (let index = 0; index < count; index++) {
      const context = contextOf(this.queue, index);
      if (context === SEND) {
        this.#sendPending = false;
      } else {
        if (this.#received) throw new Error('a message came before the one before it was answered');
        this.#received = true;
        this.#used = context;
      }
    }
  }

  // Only where a whole spin found nothing: the loop that is measured never looks at the clock for it.
  #checkSilence(): void {
    const now = performance.now();
    if (this.#heardAt === 0) this.#heardAt = now;
    else if (now - this.#heardAt > SILENCE_MS) throw new Error('the other side is silent');
  }

  send(): void {
    const { endpoint, memory, size, peer } = this;
    if (this.inject) {
      while (!endpoint.inject(memory, 0, size, peer)) this.#progress(0);
    } else {
      while (this.#sendPending) this.#progress(0);
      this.#sendPending = true;
      while (!endpoint.send(memory, 0, size, peer, SEND)) this.#progress(0);
    }
    // While the message is on its way, so that the cost is hidden; the other receives stand ready.
    if (this.#used === 0) return;
    const context = this.#used;
    this.#used = 0;
    while (!this.postReceive(context)) this.#progress(0);
  }

  awaitMessage(): void {
    while (!this.#received) this.#progress(SPIN_MICROSECONDS);
    this.#received = false;
    this.#heardAt = 0;
  }

  answer(count: number): void {
    for (let i = 0; i < count; i++) {
      this.awaitMessage();
      this.send();
    }
    this.#finishSending();
  }

  /** Where the other side fetches a long message (tcp;ofi_rxm, efa) it needs this side's progress, which nobody makes later. */
  #finishSending(): void {
    while (this.#sendPending) this.#progress(SPIN_MICROSECONDS);
  }

  #fill(number: number): void {
    while (this.#sendPending) this.#progress(0);
    slotBytes(this.opened, SEND, this.size).set(pattern(this.size, number));
  }

  #take(number: number): void {
    this.awaitMessage();
    checkPattern(slotBytes(this.opened, this.#used, this.size), this.size, number);
  }

  /** Messages whose bytes are checked, both ways. */
  prove(role: Settings['role']): number {
    for (let number = 0; number < PROOFS; number++) {
      if (role === 'server') this.#take(number);
      this.#fill(number + (role === 'server' ? PROOFS : 0));
      this.send();
      if (role === 'client') this.#take(number + PROOFS);
    }
    this.#finishSending();
    return PROOFS;
  }

  ask(roundTrips: Float64Array): void {
    let previous = performance.now();
    for (let i = 0; i < roundTrips.length; i++) {
      this.send();
      this.awaitMessage();
      const now = performance.now();
      roundTrips[i] = now - previous;
      previous = now;
    }
  }
}

async function chooseCall(pingPong: PingPong, settings: Settings, injectSize: number): Promise<string> {
  if (settings.size > injectSize) return 'send';
  const best = [Infinity, Infinity];
  const count = Math.min(MAX_TRIAL_ROUND_TRIPS, Math.ceil(settings.iterations / 50));
  for (let block = 0; block < TRIAL_BLOCKS; block++) {
    pingPong.inject = block % 2 === 1;
    if (settings.role === 'server') {
      pingPong.answer(count);
    } else {
      const times = new Float64Array(count);
      pingPong.ask(times);
      best[block % 2] = Math.min(best[block % 2], statistics(times).p50);
    }
  }
  const mine = best[1] < best[0] ? 'inject' : 'send';
  const theirs = await exchange(mine);
  return settings.role === 'client' ? mine : theirs;
}

await runChild(async (settings) => {
  const opened = await openLoop(settings, RECEIVES + 1);
  const pingPong = new PingPong(opened, settings.size);
  for (let context = 1; context <= RECEIVES; context++)
    if (!pingPong.postReceive(context)) throw new Error(`no room for ${RECEIVES} receives`);
  await barrier();

  const verified = pingPong.prove(settings.role);
  const call = await chooseCall(pingPong, settings, opened.info.injectSize);
  pingPong.inject = call === 'inject';
  const roundTrips = new Float64Array(Math.max(settings.iterations, settings.warmUp));
  const run = (count: number): void => {
    if (settings.role === 'server') pingPong.answer(count);
    else pingPong.ask(roundTrips.subarray(0, count));
  };
  run(settings.warmUp);
  await barrier();
  const stop = startMeter(settings);
  run(settings.iterations);
  const used = stop();
  const times =
    settings.role === 'client' ? summary(settings, roundTrips.subarray(0, settings.iterations)) : {};
  const result: Result = { ...used, ...times, verified, note: `fi_${call}` };
  return { result, close: opened.close };
});
