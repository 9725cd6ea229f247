// Workers that come and go, each with an endpoint at some stage of its life, beside an endpoint of the main thread.
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { type Endpoint, open } from 'libfabric';
import type { Place } from './stages.js';

export interface Asked {
  place: Place;
  seed: number;
  /** Workers to warm up with; then so many, and as many again. */
  rounds: number;
}

/** What the process holds of the system. */
export interface Holdings {
  descriptors: number;
  threads: number;
  files: number;
  residentKib: number;
}

export interface ChurnResult {
  afterOne: Holdings;
  afterTwo: Holdings;
  afterThree: Holdings;
  /** Workers by how they ended. */
  ended: Record<string, number>;
  /** Messages of workers that reached the main thread's endpoint. */
  heard: number;
  /** Exchanges of the main thread's endpoints, one after each batch of workers. */
  exchanges: number;
}

const plans = ['end', 'exit', 'terminate'] as const;
const stages = ['start', 'opening', 'open', 'sending', 'sent', 'closing'] as const;

interface Plan {
  place: Place;
  contact: string;
  /** Where it is told of. */
  stage: (typeof stages)[number];
  how: (typeof plans)[number];
}

/** The same numbers for the same seed (mulberry32). */
function randomFrom(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}

async function inWorker({ place, contact, stage, how }: Plan): Promise<void> {
  const reached = async (at: Plan['stage']): Promise<void> => {
    if (at !== stage) return;
    if (how === 'exit') process.exit(0);
    if (how === 'terminate') {
      parentPort?.postMessage(at);
      // The parent ends it in one of these turns, or later.
      for (let turns = 0; turns < 3; turns++) await turn();
    }
  };
  await reached('start');
  const opening = open(place);
  await reached('opening');
  const endpoint = await opening;
  await reached('open');
  const home = endpoint.peer(contact);
  const sends = Array.from({ length: 20 }, () => endpoint.send(home, new Uint8Array(1024)));
  await reached('sending');
  await Promise.all(sends);
  await reached('sent');
  const closing = endpoint.close();
  await reached('closing');
  await closing;
}

/** Runs a worker to its end; how it ended. */
async function runWorker(plan: Plan): Promise<string> {
  const worker = new Worker(new URL(import.meta.url), { workerData: plan });
  worker.on('message', () => void worker.terminate());
  const [code] = (await once(worker, 'exit')) as [number];
  return `${plan.how} ${String(code)}`;
}

function holdings(): Holdings {
  const [, resident] = readFileSync('/proc/self/statm', 'utf8').split(' ');
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
    files: readdirSync('/dev/shm').filter((name) => name.startsWith(`libfabric-${String(process.pid)}-`))
      .length,
    residentKib: Number(resident) * 4,
  };
}

/** Collects garbage until nothing is more than it was, or for so long that it will not become so. */
async function settledHoldings(before: Holdings | undefined): Promise<Holdings> {
  const collect = (globalThis as { gc?: () => void }).gc;
  if (collect === undefined) throw new Error('start with --expose-gc');
  const deadline = performance.now() + 5000;
  for (;;) {
    collect();
    await turn();
    const now = holdings();
    const names = ['descriptors', 'threads', 'files'] as const;
    if (
      before === undefined ||
      performance.now() > deadline ||
      names.every((name) => now[name] <= before[name])
    )
      return now;
  }
}

class Main {
  readonly ended: Record<string, number> = {};
  heard = 0;
  exchanges = 0;
  readonly #random: (bound: number) => number;

  constructor(
    readonly place: Place,
    readonly home: Endpoint,
    readonly partner: Endpoint,
    seed: number,
  ) {
    this.#random = randomFrom(seed);
    void this.#listen();
  }

  async #listen(): Promise<void> {
    for await (const { length } of this.home.messages()) if (length === 1024) this.heard += 1;
  }

  #plan(): Plan {
    const stage = stages[this.#random(stages.length)];
    const how = plans[this.#random(plans.length)];
    return { place: this.place, contact: this.home.contact, stage, how };
  }

  async #batch(size: number): Promise<void> {
    const outcomes = await Promise.all(Array.from({ length: size }, () => runWorker(this.#plan())));
    for (const outcome of outcomes) this.ended[outcome] = (this.ended[outcome] ?? 0) + 1;
    const received = this.partner.recv(64);
    await this.home.send(this.home.peer(this.partner.contact), new Uint8Array(64));
    if ((await received).length === 64) this.exchanges += 1;
  }

  /** Half of them one after the other, half of them four at once. */
  async run(workers: number): Promise<void> {
    for (let count = 0; count < workers / 2; count++) await this.#batch(1);
    for (let count = 0; count < workers / 8; count++) await this.#batch(4);
  }
}

async function inMain({ place, seed, rounds }: Asked): Promise<void> {
  const [home, partner] = [await open(place), await open(place)];
  const main = new Main(place, home, partner, seed);
  await main.run(rounds);
  // The first may start threads and fill caches.
  await main.run(rounds);
  const afterOne = await settledHoldings(undefined);
  await main.run(rounds);
  const afterTwo = await settledHoldings(afterOne);
  await main.run(rounds);
  const afterThree = await settledHoldings(afterTwo);
  const { ended, heard, exchanges } = main;
  await Promise.all([home.close(), partner.close()]);
  console.log(
    JSON.stringify({ afterOne, afterTwo, afterThree, ended, heard, exchanges } satisfies ChurnResult),
  );
}

if (isMainThread) await inMain(JSON.parse(process.argv[2] ?? '') as Asked);
else await inWorker(workerData as Plan);
