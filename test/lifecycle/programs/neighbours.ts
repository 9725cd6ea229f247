// What else lives in a process with endpoints: its signal handlers, and the programs that it starts.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { type Endpoint, open } from 'libfabric';
import type { ProgressMode } from 'libfabric/fi';
import type { Place } from './stages.js';

export interface Asked {
  place: Place;
  progress: ProgressMode;
  scene: 'signals' | 'children';
}

export interface SignalsResult {
  /** Threads that came with the endpoints, by name, and what they would take: signals that they do not block. */
  threads: { name: string; takes: string }[];
  /** Signals that the program's handlers saw. */
  seen: Record<string, number>;
  /** Whether the main thread's own mask is as it was. */
  maskKept: boolean;
}

export interface ChildrenResult {
  /** Of two endpoints that have talked: descriptors of this process, where a program that it started has the same. */
  inheritedBySpawn: string[];
  inheritedBySpawnSync: string[];
  /** Messages that arrived after the programs had been started. */
  exchanged: number;
}

const { place, progress, scene } = JSON.parse(process.argv[2] ?? '') as Asked;

async function exchange(a: Endpoint, b: Endpoint): Promise<number> {
  const received = [b.recv(64), b.recv(100_000)];
  const toB = a.peer(b.contact);
  await a.send(toB, new Uint8Array(64));
  await a.send(toB, new Uint8Array(100_000));
  return (await Promise.all(received)).length;
}

const threadIds = (): string[] => readdirSync('/proc/self/task');

function statusOf(thread: string): Map<string, string> {
  const lines = readFileSync(`/proc/self/task/${thread}/status`, 'utf8').split('\n');
  return new Map(lines.map((line) => line.split(':\t') as [string, string]));
}

/** All that can be blocked: not SIGKILL, not SIGSTOP, not the C library's own two. */
const all = 0x7fff_ffffn & ~(1n << 8n) & ~(1n << 18n);
const blockedBy = (thread: string): bigint => BigInt(`0x${statusOf(thread).get('SigBlk') ?? ''}`);
const takenBy = (thread: string): string => (all & ~blockedBy(thread)).toString(16);

/** Signals to the process, one after the other: the kernel gives each to any thread that takes it. */
async function signalled(rounds: number): Promise<Record<string, number>> {
  const seen: Record<string, number> = {};
  const signals = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'] as const;
  for (const signal of signals) process.on(signal, () => (seen[signal] = (seen[signal] ?? 0) + 1));
  for (let round = 0; round < rounds; round++)
    for (const signal of signals) {
      const came = once(process, signal);
      process.kill(process.pid, signal);
      await came;
    }
  return seen;
}

async function signals(a: Endpoint, b: Endpoint, before: string[]): Promise<SignalsResult> {
  const ours = threadIds().filter((thread) => !before.includes(thread));
  const threads = ours.map((thread) => ({
    name: statusOf(thread).get('Name') ?? '',
    takes: takenBy(thread),
  }));
  const seen = await signalled(20);
  await exchange(a, b);
  return { threads, seen, maskKept: blockedBy(String(process.pid)) === 0n };
}

/** Descriptors of a process and what they are; of those that name something in memory, which. */
function descriptorsOf(pid: number | 'self'): string[] {
  return readdirSync(`/proc/${String(pid)}/fd`).flatMap((name) => {
    try {
      return [`${name} ${readlinkSync(`/proc/${String(pid)}/fd/${name}`)}`];
    } catch {
      return []; // the one that listed them
    }
  });
}

/** A program that says when it runs and waits to be told to end. */
async function started(): Promise<ChildProcess> {
  const child = spawn('sh', ['-c', 'echo runs; read -r line'], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}

async function children(a: Endpoint, b: Endpoint, before: string[]): Promise<ChildrenResult> {
  const added = descriptorsOf('self').filter((name) => !before.includes(name));
  const child = await started();
  const inheritedBySpawn = descriptorsOf(child.pid!).filter((name) => added.includes(name));
  let exchanged = await exchange(a, b);
  child.stdin?.end();
  await once(child, 'exit');
  const { stdout } = spawnSync(
    'sh',
    ['-c', 'cd /proc/self/fd && for fd in *; do echo "$fd $(readlink $fd)"; done'],
    {
      encoding: 'utf8',
    },
  );
  const inheritedBySpawnSync = stdout.split('\n').filter((name) => added.includes(name));
  exchanged += await exchange(a, b);
  return { inheritedBySpawn, inheritedBySpawnSync, exchanged };
}

// Node's own threads and descriptors are there before the endpoints' are counted.
await Promise.all(Array.from({ length: 8 }, () => readFile('/proc/self/stat')));
const threadsBefore = threadIds();
const descriptorsBefore = descriptorsOf('self');
const options = { ...place, progress };
const [a, b] = [await open(options), await open(options)];
await exchange(a, b);
const result =
  scene === 'signals' ? await signals(a, b, threadsBefore) : await children(a, b, descriptorsBefore);
await Promise.all([a.close(), b.close()]);
console.log(JSON.stringify(result));
// The handlers keep nothing alive.
