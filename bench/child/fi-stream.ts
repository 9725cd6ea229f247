// A stream of messages over libfabric/fi: the loops of bench/native/stream.c, call by call.
import { performance } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Opened, READ_BATCH, SPIN_MICROSECONDS, contextOf, openLoop, slotBytes } from './fi-open.js';
import { type Result, barrier, runChild, startMeter } from './link.js';
import { PROOFS, checkPattern, pattern } from './pattern.js';

/** Sends, with at most `window` of them in flight. */
class Sender {
  readonly #free: Uint32Array;
  #count: number;

  constructor(
    private readonly opened: Opened,
    private readonly size: number,
    private readonly window: number,
  ) {
    this.#free = Uint32Array.from({ length: window }, (_, slot) => slot);
    this.#count = window;
  }

  progress(spinMicroseconds: number): void {
    const { queue } = this.opened;
    const count = queue.read(READ_BATCH, spinMicroseconds);
    for (let index = 0; index < count; index++) this.#free[this.#count++] = contextOf(queue, index);
  }

  #send(slot: number): void {
    const { endpoint, memory, stride, peer } = this.opened;
    while (!endpoint.send(memory, slot * stride, this.size, peer, slot)) this.progress(0);
  }

  send(count: number): void {
    for (let sent = 0; sent < count; sent++) {
      while (this.#count === 0) this.progress(SPIN_MICROSECONDS);
      this.#send(this.#free[--this.#count]);
    }
    while (this.#count < this.window) this.progress(SPIN_MICROSECONDS);
  }

  prove(): void {
    for (let number = 0; number < PROOFS; number++) {
      slotBytes(this.opened, this.#free[this.#count - 1], this.size).set(pattern(this.size, number));
      this.send(1);
    }
  }
}

const SILENCE_MS = 20_000;

class Receiver {
  constructor(
    private readonly opened: Opened,
    private readonly size: number,
    window: number,
  ) {
    for (let slot = 0; slot < window; slot++) this.#post(slot);
  }

  #post(slot: number): void {
    const { endpoint, memory, stride } = this.opened;
    // On shm there is none while a sender that has just lost its processor holds the endpoint's lock.
    const deadline = performance.now() + SILENCE_MS;
    while (!endpoint.recv(memory, slot * stride, this.size, slot))
      if (performance.now() > deadline) throw new Error('no room for a receive');
  }

  receive(count: number): void {
    const { queue } = this.opened;
    for (let left = count; left > 0;) {
      const read = queue.read(READ_BATCH, SPIN_MICROSECONDS);
      for (let index = 0; index < read; index++) this.#post(contextOf(queue, index));
      left -= read;
    }
  }

  prove(): void {
    const { queue } = this.opened;
    for (let number = 0; number < PROOFS;) {
      if (queue.read(1, SPIN_MICROSECONDS) === 0) continue;
      const slot = contextOf(queue, 0);
      checkPattern(slotBytes(this.opened, slot, this.size), this.size, number);
      this.#post(slot);
      number++;
    }
  }
}

/** A barrier at which the sender goes on making progress: what it has sent may have to be sent again. */
async function barrierOf(sender: Sender | undefined): Promise<void> {
  let isOver = false;
  const over = barrier().then(() => (isOver = true));
  // It is changed by the promise, which the compiler cannot see.
  while (sender !== undefined && !(isOver as boolean)) {
    sender.progress(0);
    await nextTurn();
  }
  await over;
}

await runChild(async (settings) => {
  const { role, size, iterations, warmUp, window = 1 } = settings;
  const opened = await openLoop(settings, window);
  const sender = role === 'client' ? new Sender(opened, size, window) : undefined;
  const receiver = role === 'server' ? new Receiver(opened, size, window) : undefined;
  const run = (count: number): void => {
    sender?.send(count);
    receiver?.receive(count);
  };
  await barrierOf(sender);
  sender?.prove();
  receiver?.prove();
  await barrierOf(sender);
  run(warmUp);
  // The clock starts with nothing on its way.
  await barrierOf(sender);
  const stop = startMeter(settings);
  const start = performance.now();
  run(iterations);
  const elapsedMs = performance.now() - start;
  const result: Result = { ...stop(), note: 'fi_send' };
  if (role === 'server') Object.assign(result, { rate: (iterations * 1000) / elapsedMs, verified: PROOFS });
  await barrierOf(sender);
  return { result, close: opened.close };
});
