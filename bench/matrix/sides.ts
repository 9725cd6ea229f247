// Who is compared in a cell: the ways through this package, the C programs, and what else Node programs have.
import { spawnSync } from 'node:child_process';
import type { Distance } from '../distance.js';
import { type PackageName, isInstalled } from '../packages.js';
import {
  type Cores,
  type LoopSettings,
  type Sample,
  runLoop,
  runOurs,
  runPingPong,
  runThreads,
} from '../processes.js';
import type { Way } from '../child/link.js';
import type { Cell, Workload } from './cells.js';

/** What a side is run with. */
export interface Ground {
  cores: Cores;
  distance: Distance;
  /** The C loop, built when it is first asked for. */
  loop: () => string;
}

/** One of those who are compared. */
export interface Side {
  name: string;
  kind: 'ours' | 'c' | 'other';
  title: string;
  workloads: readonly Workload[];
  /** Why it cannot be run here; undefined: it can. */
  missing: () => string | undefined;
  /** `timesFile`: where every time of a workload in µs is to go. */
  run: (cell: Cell, ground: Ground, timesFile: string) => Promise<Sample>;
}

const messages: readonly Workload[] = ['ping-pong', 'rate', 'bandwidth'];
const streams: readonly Workload[] = ['write-bandwidth', 'read-bandwidth'];
const oneSided: readonly Workload[] = ['write', 'read', ...streams];

const isOneSided = ({ workload }: Cell): boolean => oneSided.includes(workload.name);
const nothing = (): undefined => undefined;

/** What every child is told of the cell. */
function settingsOf(cell: Cell, timesFile: string) {
  const { provider, size, iterations, warmUp, window } = cell;
  return { provider, size, iterations, warmUp, window, workload: cell.workload.name, timesFile };
}

const fi: Side = {
  name: 'fi',
  kind: 'ours',
  title: 'a loop over libfabric/fi',
  workloads: [...messages, ...oneSided],
  missing: nothing,
  run(cell, { cores }, timesFile) {
    const messagesBy = cell.workload.name === 'ping-pong' ? 'fi-latency' : 'fi-stream';
    return runOurs(isOneSided(cell) ? 'fi-rma' : messagesBy, settingsOf(cell, timesFile), cores);
  },
};

function everyday(way: Way, title: string, workloads: readonly Workload[]): Side {
  return {
    ...{ name: way, kind: 'ours', title, workloads, missing: nothing },
    run(cell, { cores }, timesFile) {
      // A promise for each message, awaited before the next, is what the rate of the first two is about.
      const window = cell.workload.name === 'rate' && way !== 'batched' ? 1 : cell.window;
      const program = isOneSided(cell) ? 'everyday-rma' : 'everyday';
      return runOurs(program, { ...settingsOf(cell, timesFile), way, window }, cores);
    },
  };
}

const tests: Record<Workload, LoopSettings['test']> = {
  'ping-pong': 'latency',
  rate: 'rate',
  bandwidth: 'bandwidth',
  write: 'write',
  read: 'read',
  'write-bandwidth': 'write',
  'read-bandwidth': 'read',
};

// Receives that stand ready while one is answered, as many as the loop over libfabric/fi has.
const PING_PONG_RECEIVES = 16;

const c: Side = {
  name: 'C',
  kind: 'c',
  title: 'the same loop in C (bench/native)',
  workloads: [...messages, ...oneSided],
  missing: nothing,
  run(cell, { cores, loop }, timesFile) {
    const { provider, size, iterations, warmUp, wait, workload } = cell;
    const window = workload.name === 'ping-pong' ? PING_PONG_RECEIVES : cell.window;
    const test = tests[workload.name];
    const times = workload.unit === 'µs' ? { timesFile } : {};
    return runLoop(loop(), { provider, test, size, iterations, warmUp, wait, window, ...times }, cores);
  },
};

const fiPingPong: Side = {
  name: 'fi_pingpong',
  kind: 'c',
  title: "libfabric's own fi_pingpong, which prints a mean",
  workloads: ['ping-pong'],
  missing: () =>
    spawnSync('fi_pingpong', ['-h']).error === undefined ? undefined : 'fi_pingpong is not installed',
  run: ({ provider, size, iterations }, { cores }) => runPingPong({ provider, size, iterations }, cores),
};

function transport(name: string, title: string, needs?: PackageName): Side {
  return {
    ...{ name, kind: 'other', title, workloads: messages },
    missing: () =>
      needs === undefined || isInstalled(needs) ? undefined : `${needs} is not installed in bench/`,
    run: (cell, { cores }, timesFile) =>
      runOurs('channel', { ...settingsOf(cell, timesFile), transport: name }, cores),
  };
}

const messagePort: Side = {
  name: 'MessagePort',
  kind: 'other',
  title: 'worker_threads, two threads of one process',
  workloads: messages,
  missing: nothing,
  run: (cell, { cores }, timesFile) => runThreads('message-port', settingsOf(cell, timesFile), cores),
};

/** All of them, in the order in which they take turns. */
export const sides: readonly Side[] = [
  c,
  fi,
  everyday('awaited', 'await send(), await recv(); await write(), await read()', [...messages, ...oneSided]),
  everyday('iterator', 'await send(), messages()', messages),
  everyday('batched', 'sendBatch(), messages({ batch }); 16 operations at once', [...messages, ...streams]),
  fiPingPong,
  transport('node:net', 'TCP with TCP_NODELAY'),
  messagePort,
  transport('ws', 'WebSockets', 'ws'),
  transport('zeromq', 'zeromq.js over TCP', 'zeromq'),
];
