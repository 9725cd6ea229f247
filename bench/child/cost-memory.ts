// Whether memory stays where it is while very many messages pass: what the receiver's process has, a tenth after the other, and
// how long its longest garbage collection stops it once the first tenth has warmed it up: in a run of its own, since watching
// them takes memory.
import { type PerformanceEntry, PerformanceObserver, performance } from 'node:perf_hooks';
import { type Endpoint, type Peer, open } from 'libfabric';
import { type Result, type Settings, barrier, exchange, runChild, startMeter } from './link.js';

const BATCH = 64;
const STRETCHES = 10;
const MIB = 2 ** 20;

async function send(endpoint: Endpoint, peer: Peer, { size, iterations }: Settings): Promise<void> {
  const items = Array.from({ length: BATCH }, () => new Uint8Array(size));
  for (let left = iterations; left > 0; left -= BATCH)
    await endpoint.sendBatch(peer, left < BATCH ? items.slice(0, left) : items);
}

/** Resident bytes after each tenth of the messages. `onWarm`: the first tenth is over. */
async function receive(endpoint: Endpoint, { iterations }: Settings, onWarm: () => void): Promise<number[]> {
  const resident: number[] = [];
  const stretch = iterations / STRETCHES;
  let count = 0;
  for await (const batch of endpoint.messages({ batch: BATCH })) {
    count += batch.length;
    if (count >= (resident.length + 1) * stretch) {
      resident.push(process.memoryUsage.rss());
      if (resident.length === 1) onWarm();
    }
    if (count === iterations) break;
  }
  return resident;
}

/** The longest garbage collection since start(), in milliseconds. Keeps nothing else: the process's memory is measured. */
class LongestCollection {
  #since = Infinity;
  #longest = 0;
  readonly #observer = new PerformanceObserver((list) => {
    this.#take(list.getEntries());
  });

  #take(entries: PerformanceEntry[]): void {
    for (const { startTime, duration } of entries)
      if (startTime >= this.#since) this.#longest = Math.max(this.#longest, duration);
  }

  start(): void {
    this.#since = performance.now();
    this.#observer.observe({ entryTypes: ['gc'] });
  }

  stop(): number {
    this.#take(this.#observer.takeRecords());
    this.#observer.disconnect();
    return this.#longest;
  }
}

await runChild(async (settings) => {
  const { role, provider, iterations } = settings;
  const endpoint = await open({ provider, node: '127.0.0.1' });
  const peer = endpoint.peer(await exchange(endpoint.contact));
  await barrier();
  const stop = startMeter(settings);
  let result: Result;
  if (role === 'server') {
    const collection = new LongestCollection();
    const resident = await receive(endpoint, settings, () => {
      if (settings.watchesCollections === true) collection.start();
    });
    const memory = {
      afterFirstTenthInMiB: resident[0] / MIB,
      mostInMiB: Math.max(...resident) / MIB,
      atTheEndInMiB: resident[resident.length - 1] / MIB,
    };
    const longest = { longestInMs: collection.stop() };
    const figures = { messages: iterations, ...(settings.watchesCollections === true ? longest : memory) };
    result = { ...stop(), figures };
  } else {
    await send(endpoint, peer, settings);
    result = stop();
  }
  await barrier();
  return { result, close: () => endpoint.close() };
});
