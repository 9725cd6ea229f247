// How much processor time an endpoint takes that has been used and waits for the next message.
import { setTimeout as sleep } from 'node:timers/promises';
import { open } from 'libfabric';
import type { ProgressMode } from 'libfabric/fi';
import type { Place } from './stages.js';

export interface Asked {
  place: Place;
  progress: ProgressMode;
}

export interface IdleResult {
  /** The share of one core that the process took in each stretch of time, in percent. */
  percent: number[];
  /** Whether the endpoint still received after it. */
  alive: boolean;
}

const STRETCHES = 3;
const STRETCH_MS = 700;

const { place, progress } = JSON.parse(process.argv[2] ?? '') as Asked;
const options = { ...place, progress };
const [a, b] = [await open(options), await open(options)];
const toA = b.peer(a.contact);

async function exchange(): Promise<void> {
  const received = a.recv(64);
  await b.send(toA, new Uint8Array(64));
  await received;
}

/** Processor time of all threads, in µs. */
function spent(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

// A descriptor that once was readable, a loop that stays awake after activity: what costs something idle begins with use.
for (let count = 0; count < 100; count++) await exchange();
const last = a.recv(64);
const percent: number[] = [];
for (let stretch = 0; stretch < STRETCHES; stretch++) {
  const before = spent();
  const start = performance.now();
  await sleep(STRETCH_MS);
  percent.push((spent() - before) / 10 / (performance.now() - start));
}
await b.send(toA, new Uint8Array(64));
const alive = (await last).length === 64;
await Promise.all([a.close(), b.close()]);
console.log(JSON.stringify({ percent, alive } satisfies IdleResult));
