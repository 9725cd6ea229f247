// Reads and writes of the other process's memory over the everyday layer, of leases.
import { performance } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type Endpoint,
  type Lease,
  type Operations,
  type Peer,
  RemoteMemory,
  type RemoteMemoryJson,
  open,
} from 'libfabric';
import { type Result, type Settings, barrier, exchange, runChild, startMeter, summary } from './link.js';
import { checkPattern, holdsPattern, pattern } from './pattern.js';

type RmaEndpoint = Endpoint & Operations<['rma']>;

/** As fi_write(3) and fi_read(3) of the C loop complete: at the endpoint's own level. */
const asPlain = { completion: 'buffer' } as const;

/** Operations on places of the other side's memory, of which each has a lease. */
class Initiator {
  readonly #leases: Lease[];
  readonly #remotes: RemoteMemory[];
  readonly #writes: boolean;

  constructor(
    private readonly endpoint: RmaEndpoint,
    private readonly peer: Peer,
    private readonly settings: Settings,
    remote: RemoteMemory,
  ) {
    const { size, window = 1, workload = 'write' } = settings;
    const places = Array.from({ length: window }, (_, place) => place);
    this.#leases = places.map(() => endpoint.memory.alloc(size));
    this.#remotes = places.map((place) => remote.slice(place * size, size));
    this.#writes = workload.startsWith('write');
    if (this.#writes) for (const place of places) this.#leases[place].data.set(pattern(size, place));
  }

  #start(place: number): Promise<unknown> {
    return this.#writes
      ? this.endpoint.write(this.peer, this.#leases[place], this.#remotes[place], asPlain)
      : this.endpoint.read(this.peer, this.#leases[place], this.#remotes[place]);
  }

  async oneByOne(times: Float64Array): Promise<void> {
    let previous = performance.now();
    for (let done = 0; done < times.length; done++) {
      await this.#start(0);
      const now = performance.now();
      times[done] = now - previous;
      previous = now;
    }
  }

  /** A new one whenever the oldest is done. */
  async inTurns(count: number): Promise<void> {
    const window = this.#leases.length;
    const under: Promise<unknown>[] = this.#leases.map(() => Promise.resolve());
    for (let started = 0; started < count; started++) {
      const place = started % window;
      await under[place];
      under[place] = this.#start(place);
    }
    await Promise.all(under);
  }

  /** As many as there are places at once, then as many again. */
  async inBatches(count: number): Promise<void> {
    for (let left = count; left > 0; left -= this.#leases.length) {
      const places = [...this.#leases.keys()].slice(0, left);
      await Promise.all(places.map((place) => this.#start(place)));
    }
  }

  /** What was read; how many were checked. */
  check(): number {
    const { size } = this.settings;
    for (const [place, { data }] of this.#leases.entries())
      if (!this.#writes) checkPattern(data, size, place);
    return this.#leases.length;
  }
}

/** What was written, which may arrive behind the message. The runner's bound is the bound. */
async function checkWritten(endpoint: RmaEndpoint, memory: Uint8Array, settings: Settings): Promise<void> {
  const { size, window = 1 } = settings;
  for (let place = 0; place < window; place++) {
    while (!holdsPattern(memory.subarray(place * size, (place + 1) * size), place)) {
      endpoint.poll();
      await nextTurn();
    }
  }
}

async function serve(endpoint: RmaEndpoint, settings: Settings): Promise<Result> {
  const { size, window = 1, workload = 'write' } = settings;
  const region = await endpoint.memory.register(window * size, ['remoteRead', 'remoteWrite']);
  const isRead = workload.startsWith('read');
  for (let place = 0; place < window; place++)
    if (isRead) region.bytes.set(pattern(size, place), place * size);
  await exchange(JSON.stringify(region.remote));
  // Two messages: the warm-up is done; all is done.
  const [warm, done] = [endpoint.recv(1), endpoint.recv(1)];
  await barrier();
  await warm;
  const stop = startMeter(settings);
  await done;
  const used = stop();
  if (!isRead) await checkWritten(endpoint, region.bytes, settings);
  await barrier();
  await region.close();
  return { ...used, verified: window };
}

async function operate(endpoint: RmaEndpoint, peer: Peer, settings: Settings): Promise<Result> {
  const { iterations, warmUp, window = 1, way } = settings;
  const remote = RemoteMemory.from(JSON.parse(await exchange('')) as RemoteMemoryJson);
  const initiator = new Initiator(endpoint, peer, settings, remote);
  const times = new Float64Array(window === 1 ? Math.max(iterations, warmUp) : 0);
  const run = (count: number): Promise<void> => {
    if (window === 1) return initiator.oneByOne(times.subarray(0, count));
    return way === 'batched' ? initiator.inBatches(count) : initiator.inTurns(count);
  };
  await barrier();
  await run(warmUp);
  await endpoint.send(peer, new Uint8Array(1));
  const stop = startMeter(settings);
  const start = performance.now();
  await run(iterations);
  const elapsedMs = performance.now() - start;
  const used = stop();
  await endpoint.send(peer, new Uint8Array(1));
  const verified = initiator.check();
  await barrier();
  const each = window === 1 ? summary(settings, times.subarray(0, iterations), 1) : {};
  return { ...used, ...each, rate: (iterations * 1000) / elapsedMs, verified, note: endpoint.provider };
}

await runChild(async (settings) => {
  const endpoint = await open({ provider: settings.provider, node: '127.0.0.1', features: ['rma'] });
  const peer = endpoint.peer(await exchange(endpoint.contact));
  const result =
    settings.role === 'server' ? await serve(endpoint, settings) : await operate(endpoint, peer, settings);
  return { result, close: () => endpoint.close() };
});
