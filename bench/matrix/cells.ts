// What the matrix is made of: providers, workloads and sizes, each written down once.
import type { Workload } from '../child/link.js';

export type { Workload };

/** What is measured. */
export interface WorkloadPlan {
  name: Workload;
  title: string;
  unit: 'µs' | 'messages/s' | 'MB/s';
  /** Operations in flight; those in µs are done one by one. */
  window: number;
  /** How many on shm, and at most how many bytes in all, but never fewer than `least`. */
  iterations: number;
  bytes: number;
  least: number;
}

const MIB = 1 << 20;

export const workloads: readonly WorkloadPlan[] = [
  {
    name: 'ping-pong',
    title: 'half of a round trip',
    ...{ unit: 'µs', window: 1, iterations: 20_000, bytes: 64 * MIB, least: 32 },
  },
  {
    name: 'rate',
    title: 'messages one way, as many as go',
    ...{ unit: 'messages/s', window: 64, iterations: 200_000, bytes: 128 * MIB, least: 64 },
  },
  {
    name: 'bandwidth',
    title: 'messages one way, 16 in flight',
    ...{ unit: 'MB/s', window: 16, iterations: 20_000, bytes: 256 * MIB, least: 64 },
  },
  {
    name: 'write',
    title: "one write of the other process's memory after the other",
    ...{ unit: 'µs', window: 1, iterations: 20_000, bytes: 128 * MIB, least: 32 },
  },
  {
    name: 'read',
    title: "one read of the other process's memory after the other",
    ...{ unit: 'µs', window: 1, iterations: 20_000, bytes: 128 * MIB, least: 32 },
  },
  {
    name: 'write-bandwidth',
    title: 'writes, 16 in flight',
    ...{ unit: 'MB/s', window: 16, iterations: 20_000, bytes: 256 * MIB, least: 64 },
  },
  {
    name: 'read-bandwidth',
    title: 'reads, 16 in flight',
    ...{ unit: 'MB/s', window: 16, iterations: 20_000, bytes: 256 * MIB, least: 64 },
  },
];

/** Bytes of a message, or of one operation. */
export const sizes: readonly number[] = [8, 64, 512, 4096, 32_768, 262_144, 4_194_304];

/** A size as people write it. */
export function sizeName(size: number): string {
  if (size < 1024) return `${size} B`;
  if (size % 1024 !== 0) return `${(size / 1024).toFixed(1)} KiB`;
  return size < MIB ? `${size >> 10} KiB` : `${+(size / MIB).toFixed(1)} MiB`;
}

/** What is measured on. */
export interface ProviderPlan {
  /** As open() takes it. */
  name: string;
  /** How much of the iterations it can do in the time that shm takes for all. */
  pace: number;
  /** Longer messages than these take it minutes. */
  largest?: number;
  /** How the C loop waits: sockets has threads of its own, from which spinning takes the processor. */
  wait: 'spin' | 'fd';
}

export const providers: readonly ProviderPlan[] = [
  { name: 'shm', pace: 1, wait: 'spin' },
  { name: 'tcp', pace: 0.5, wait: 'spin' },
  { name: 'tcp;ofi_rxm', pace: 0.5, wait: 'spin' },
  { name: 'sockets', pace: 0.02, wait: 'fd' },
  { name: 'udp;ofi_rxd', pace: 0.05, largest: 32_768, wait: 'spin' },
  { name: 'efa', pace: 0.1, wait: 'spin' },
];

/** One place of the matrix, in which all sides are measured in turns. */
export interface Cell {
  /** Its name in the plan, and libfabric's. */
  asked: string;
  provider: string;
  wait: 'spin' | 'fd';
  workload: WorkloadPlan;
  size: number;
  iterations: number;
  warmUp: number;
  /** Operations in flight, whose buffers would otherwise not fit into memory. */
  window: number;
}

const WINDOW_BYTES = 64 * MIB;
/** Until V8 has compiled what is measured, which takes some thousand messages of whatever size. */
const WARM_MESSAGES = 5000;
const WARM_BYTES = 512 * MIB;

const warmUpOf = (size: number, share: number): number =>
  Math.ceil(Math.min(WARM_MESSAGES, WARM_BYTES / size) * share);
// Of what a whole run does.
const QUICK = 1 / 20;

/** A cell of these. `chosen` is libfabric's name of the provider. */
export function makeCell(
  { name, pace, wait }: ProviderPlan,
  chosen: string,
  workload: WorkloadPlan,
  size: number,
  quick: boolean,
): Cell {
  const share = pace * (quick ? QUICK : 1);
  const most = Math.min(workload.iterations * share, (workload.bytes * (quick ? QUICK : 1)) / size);
  const iterations = Math.max(workload.least, Math.ceil(most));
  return {
    ...{ asked: name, provider: chosen, wait, workload, size, iterations },
    warmUp: Math.max(workload.least, Math.ceil(iterations / 4), quick ? 0 : warmUpOf(size, share)),
    window: Math.max(1, Math.min(workload.window, Math.floor(WINDOW_BYTES / size))),
  };
}
