// What happens in a /dev/shm that is full, or in which killed processes left files. Runs where /dev/shm is its own.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, rmSync, statfsSync, writeFileSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Endpoint, open } from 'libfabric';

export type Scene = 'fill' | 'at-once' | 'full-later' | 'killed' | 'many-cleaners' | 'hold';

export interface Asked {
  scene: Scene;
  /** How many endpoints, where the scene has a number of them. */
  count?: number;
}

/** What open() said where it failed. */
export interface Refusal {
  code: unknown;
  message: string;
}

export interface FullResult {
  /** How many endpoints opened. */
  opened: number;
  refusals: Refusal[];
  /** Lengths of messages that arrived as they were sent, in order. */
  arrived: number[];
  /** What is in /dev/shm after all is closed. */
  left: string[];
}

const { scene, count = 1 } = JSON.parse(process.argv[2] ?? '') as Asked;
const options = { provider: 'shm' } as const;

const listed = (): string[] => readdirSync('/dev/shm').sort();

function refusal(error: unknown): Refusal {
  const { code, message } = error as Refusal;
  return { code, message };
}

async function openAll(attempts: readonly Promise<Endpoint>[]): Promise<[Endpoint[], Refusal[]]> {
  const outcomes = await Promise.allSettled(attempts);
  const endpoints = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const refusals = outcomes.flatMap((each) => (each.status === 'rejected' ? [refusal(each.reason)] : []));
  return [endpoints, refusals];
}

/** Messages of every way that the provider has of carrying them; their lengths. */
async function exchange(from: Endpoint, to: Endpoint): Promise<number[]> {
  const peer = from.peer(to.contact);
  const arrived: number[] = [];
  for (const length of [64, 5000, 100_000, 4 << 20]) {
    const received = to.recv(length);
    await from.send(peer, new Uint8Array(length).fill(length));
    const { data } = await received;
    if (data.every((byte) => byte === length % 256)) arrived.push(data.length);
  }
  // More than are in flight at once, so that everything that the file has room for is used.
  const many = Array.from({ length: 3000 }, () => to.recv(1000));
  const sends = many.map(() => from.send(peer, new Uint8Array(1000)));
  await Promise.all([...many, ...sends]);
  return arrived;
}

async function finish(endpoints: Endpoint[], refusals: Refusal[]): Promise<FullResult> {
  const opened = endpoints.length;
  const arrived = opened === 0 ? [] : await exchange(endpoints[0], endpoints[opened - 1]);
  await Promise.all(endpoints.map((endpoint) => endpoint.close()));
  return { opened, refusals, arrived, left: listed() };
}

/** One endpoint after the other, until there is no room. */
async function fill(): Promise<FullResult> {
  const endpoints: Endpoint[] = [];
  for (;;) {
    const [opened, refusals] = await openAll([open(options)]);
    if (refusals.length > 0) return finish(endpoints, refusals);
    endpoints.push(...opened);
  }
}

/** More at once than there is room for: each finds enough when it looks. */
async function atOnce(): Promise<FullResult> {
  return finish(...(await openAll(Array.from({ length: count }, () => open(options)))));
}

/** Fills /dev/shm to its last byte, and answers how to undo that. */
function fillUp(): () => void {
  const path = '/dev/shm/filler';
  const file = openSync(path, 'w');
  for (const length of [1 << 20, 4096, 1]) {
    try {
      for (;;) if (writeSync(file, Buffer.alloc(length)) === 0) break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
  closeSync(file);
  if (statfsSync('/dev/shm').bavail !== 0) throw new Error('/dev/shm is not full');
  return () => {
    rmSync(path);
  };
}

/** Others fill /dev/shm while endpoints are open: these go on, a new one is refused, and opens when there is room. */
async function fullLater(): Promise<FullResult> {
  const endpoints = [await open(options), await open(options)];
  const makeRoom = fillUp();
  const [, refusals] = await openAll([open(options)]);
  const before = await exchange(endpoints[0], endpoints[1]);
  await Promise.all(endpoints.map((endpoint) => endpoint.close()));
  makeRoom();
  const { opened, arrived, left } = await finish([await open(options)], []);
  return { opened, refusals, arrived: [...before, ...arrived], left };
}

export interface KilledResult {
  /** Files of the killed processes, before anybody cleaned up. */
  stale: string[];
  /** Those that are left when another endpoint has opened. */
  staleAfter: string[];
  /** Files of the processes that live, before and after. */
  living: string[];
  livingAfter: string[];
  /** Files of others, after. */
  foreign: string[];
  /** How the processes that lived ended. */
  codes: unknown[];
}

interface Holder {
  child: ChildProcess;
  contact: string;
}

/** A process with an endpoint, once it is open. */
async function holder(): Promise<Holder> {
  const asked: Asked = { scene: 'hold' };
  const child = fork(fileURLToPath(import.meta.url), [JSON.stringify(asked)]);
  const [contact] = (await once(child, 'message')) as [string];
  return { child, contact };
}

const holders = (length: number): Promise<Holder[]> => Promise.all(Array.from({ length }, holder));

const filesOf = (those: readonly Holder[]): string[] =>
  listed().filter((name) => those.some(({ child }) => name.startsWith(`libfabric-${String(child.pid)}-`)));

async function ended({ child }: Holder, how: () => void): Promise<unknown> {
  const exit = once(child, 'exit');
  how();
  return (await exit)[0];
}

const kill = (those: readonly Holder[]): Promise<unknown[]> =>
  Promise.all(those.map((each) => ended(each, () => each.child.kill('SIGKILL'))));
const stop = (those: readonly Holder[]): Promise<unknown[]> =>
  Promise.all(those.map((each) => ended(each, () => each.child.send('stop'))));

/** Names like ours and unlike ours, none of them with a lock file beside it. */
const foreignNames = ['4242:0:0', 'libfabric-', 'libfabric-4242-0-1', 'libfabric-4242-0-1:0:0', 'notes.lock'];

/** Killed processes left files; one opens an endpoint beside others that live. */
async function killed(): Promise<KilledResult> {
  const alive = await holders(1);
  const dead = await holders(2);
  for (const name of foreignNames) writeFileSync(`/dev/shm/${name}`, 'not ours');
  await kill(dead);
  const stale = filesOf(dead);
  const living = filesOf(alive);
  const endpoint = await open(options);
  const staleAfter = filesOf(dead);
  const livingAfter = filesOf(alive);
  // The living one still has what it needs: it answers through its file.
  const reply = endpoint.recv(64);
  await endpoint.send(endpoint.peer(alive[0].contact), Buffer.from(endpoint.contact));
  await reply;
  await endpoint.close();
  const codes = await stop(alive);
  return { stale, staleAfter, living, livingAfter, foreign: listed(), codes };
}

/** Several clean up at once. */
async function manyCleaners(): Promise<KilledResult> {
  const dead = await holders(2);
  await kill(dead);
  const stale = filesOf(dead);
  const alive = await holders(count);
  const living = filesOf(alive);
  const staleAfter = filesOf(dead);
  // One after the other, so that those that stay are there still when another has opened.
  const last = await holders(1);
  const livingAfter = filesOf(alive);
  const codes = await stop([...alive, ...last]);
  return { stale, staleAfter, living, livingAfter, foreign: listed(), codes };
}

/** Keeps an endpoint until it is told to stop, and answers strangers who send it their contact. */
async function hold(): Promise<undefined> {
  const endpoint = await open(options);
  process.on('message', () => {
    void endpoint.close().then(() => {
      process.disconnect();
    });
  });
  process.send?.(endpoint.contact);
  for await (const { data } of endpoint.messages())
    await endpoint.send(endpoint.peer(Buffer.from(data).toString()), new Uint8Array(8));
  return undefined;
}

const scenes: Record<Scene, () => Promise<unknown>> = {
  fill,
  'at-once': atOnce,
  'full-later': fullLater,
  killed,
  'many-cleaners': manyCleaners,
  hold,
};

const result = await scenes[scene]();
if (result !== undefined) console.log(JSON.stringify(result));
