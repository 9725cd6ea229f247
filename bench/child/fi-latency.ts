// Ping-pong over libfabric/fi: the loop of bench/native/latency.c, call by call.
import { performance } from 'node:perf_hooks';
import {
  AddressVector,
  CompletionQueue,
  Domain,
  Endpoint,
  EventQueue,
  FI_CONTEXT,
  FI_CONTEXT2,
  FI_MSG,
  FI_SOURCE,
  Fabric,
  Memory,
  MemoryRegion,
  getInfo,
} from 'libfabric/fi';
import { type Result, type Settings, barrier, exchange, runChild, startMeter, statistics } from './link.js';

// As many as the C loop posts.
const RECEIVES = 16;
const STRIDE_BYTES = 128;
// Contexts of receives begin at 1.
const SEND = 0;
const READ_BATCH = 64;
const SPIN_MICROSECONDS = 1000;
const SILENCE_MS = 20_000;

const TRIAL_BLOCKS = 8;
const TRIAL_ROUND_TRIPS = 2000;

class PingPong {
  /** fi_inject(3) instead of fi_send(3). */
  inject = false;
  #sendPending = false;
  #received = false;
  #used = 0;
  #heardAt = 0;

  constructor(
    private readonly endpoint: Endpoint,
    private readonly queue: CompletionQueue,
    private readonly memory: Memory,
    private readonly size: number,
    private readonly peer: number,
  ) {}

  postReceive(context: number): boolean {
    return this.endpoint.recv(this.memory, context * STRIDE_BYTES, this.size, context);
  }

  #progress(spinMicroseconds: number): void {
    const { completions } = this.queue;
    const count = this.queue.read(READ_BATCH, spinMicroseconds);
    if (count === 0 && spinMicroseconds !== 0) this.#checkSilence();
    for (let index = 0; index < count; index++) {
      if (completions.error(index) !== 0)
        throw new Error(`completion failed: errno ${completions.error(index)}`);
      const context = completions.context(index);
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

async function openInfo(provider: string): Promise<Awaited<ReturnType<typeof getInfo>>[number]> {
  const hints = {
    providerName: provider,
    endpointType: 'FI_EP_RDM',
    caps: FI_MSG,
    mode: FI_CONTEXT | FI_CONTEXT2,
    memoryMode: ['FI_MR_LOCAL', 'FI_MR_VIRT_ADDR', 'FI_MR_ALLOCATED', 'FI_MR_PROV_KEY'],
    threading: 'FI_THREAD_SAFE',
    addressVectorType: 'FI_AV_TABLE',
    transmit: { messageOrder: ['FI_ORDER_SAS'] },
    receive: { messageOrder: ['FI_ORDER_SAS'] },
  };
  const named = (infos: Awaited<ReturnType<typeof getInfo>>): (typeof infos)[number] | undefined =>
    infos.find((info) => info.provider === provider);
  let found = named(await getInfo(hints));
  if (found?.addressFormat.startsWith('FI_SOCKADDR') === true)
    found = named(await getInfo(hints, { node: '127.0.0.1', flags: FI_SOURCE }));
  if (found === undefined) throw new Error(`no RDM provider is named exactly ${provider}`);
  return found;
}

async function chooseCall(pingPong: PingPong, settings: Settings, injectSize: number): Promise<string> {
  if (settings.size > injectSize) return 'send';
  const best = [Infinity, Infinity];
  for (let block = 0; block < TRIAL_BLOCKS; block++) {
    pingPong.inject = block % 2 === 1;
    if (settings.role === 'server') {
      pingPong.answer(TRIAL_ROUND_TRIPS);
    } else {
      const times = new Float64Array(TRIAL_ROUND_TRIPS);
      pingPong.ask(times);
      best[block % 2] = Math.min(best[block % 2], statistics(times).p50);
    }
  }
  const mine = best[1] < best[0] ? 'inject' : 'send';
  const theirs = await exchange(mine);
  return settings.role === 'client' ? mine : theirs;
}

await runChild(async (settings) => {
  const info = await openInfo(settings.provider);
  const fabric = await Fabric.open(info);
  const domain = await Domain.open(fabric, info);
  const events = await EventQueue.open(fabric);
  const queue = await CompletionQueue.open(domain, { capacity: 64 });
  const addresses = await AddressVector.open(domain);
  const endpoint = await Endpoint.open(domain, info);
  endpoint.bind(events);
  endpoint.bind(queue);
  endpoint.bind(addresses);
  await endpoint.enable();
  const memory = Memory.allocate((RECEIVES + 1) * STRIDE_BYTES);
  memory.bytes.fill(0x78);
  const region = info.memoryMode.includes('FI_MR_LOCAL')
    ? await MemoryRegion.register(domain, memory)
    : undefined;

  const theirs = await exchange(Buffer.from(endpoint.getName()).toString('base64'));
  const peer = addresses.insert(Buffer.from(theirs, 'base64'));
  const pingPong = new PingPong(endpoint, queue, memory, settings.size, peer);
  for (let context = 1; context <= RECEIVES; context++)
    if (!pingPong.postReceive(context)) throw new Error(`no room for ${RECEIVES} receives`);
  await barrier();

  const call = await chooseCall(pingPong, settings, info.injectSize);
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
  const times = settings.role === 'client' ? statistics(roundTrips.subarray(0, settings.iterations)) : {};
  const result: Result = { ...used, ...times, note: `fi_${call}` };
  return {
    result,
    close: async () => {
      await endpoint.close();
      await region?.close();
      for (const object of [queue, addresses, events, domain, fabric]) await object.close();
    },
  };
});
