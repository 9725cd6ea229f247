// How much processor time an endpoint takes that has been used and waits for the next message.
import { readFileSync, readdirSync } from 'node:fs';
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
  /** How often a thread of it woke up in each, in a second. */
  wakings: number[];
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

/** How often threads of this process have slept, which is as often as they woke. */
function slept(): number {
  const counts = readdirSync('/proc/self/task').map((thread) => {
    const status = readFileSync(`/proc/self/task/${thread}/status`, 'utf8');
    return Number(/^voluntary_ctxt_switches:\t(\d+)$/m.exec(status)?.[1]);
  });
  return counts.reduce((sum, count) => sum + count, 0);
}

// A descriptor that once was readable, a loop that stays awake after activity: what costs something idle begins with use.
for (let count = 0; count < 100; count++) await exchange();
const last = a.recv(64);
const percent: number[] = [];
const wakings: number[] = [];
for (let stretch = 0; stretch < STRETCHES; stretch++) {
  const before = { spent: spent(), slept: slept(), at: performance.now() };
  await sleep(STRETCH_MS);
  const seconds = (performance.now() - before.at) / 1000;
  percent.push((spent() - before.spent) / 1e4 / seconds);
  wakings.push((slept() - before.slept) / seconds);
}
await b.send(toA, new Uint8Array(64));
const alive = (await last).length === 64;
await Promise.all([a.close(), b.close()]);
console.log(JSON.stringify({ percent, wakings, alive } satisfies IdleResult));
