// What one of two measured processes needs of the runner that started it, over the IPC channel: its settings, an
// exchange of words with the other process, a barrier, and a place for its result. Nothing of it is used while measuring.
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';

/** What is measured. Latencies and one-sided operations are timed one by one, the others as a stream. */
export type Workload =
  'ping-pong' | 'rate' | 'bandwidth' | 'write' | 'read' | 'write-bandwidth' | 'read-bandwidth';

/** How a program uses the everyday layer. */
export type Way = 'awaited' | 'iterator' | 'batched';

/** What a child is to do; the same for both, but for the role. */
export interface Settings {
  role: 'client' | 'server';
  /** As open() takes it, or libfabric's exact name for the fi layer. */
  provider: string;
  size: number;
  iterations: number;
  warmUp: number;
  /** How to send, for the rate: a promise for each message, or sendBatch(). */
  sendBy?: 'each' | 'batch';
  /** How to receive: messages(), messages({ batch }), or recv(). */
  receiveBy?: 'messages' | 'batches' | 'recv';
  /** Of open(); left out: its default. */
  spinMicroseconds?: number;
  /** What is measured, where a program can do several. */
  workload?: Workload;
  /** How the everyday layer is used. */
  way?: Way;
  /** Operations in flight; default 1. */
  window?: number;
  /** What carries the bytes, in programs without libfabric. */
  transport?: string;
  /** Who reads completions, for what an idle endpoint costs; default 'auto'. */
  progress?: 'auto' | 'inline' | 'thread';
  /** How many peers are known, for what one costs. */
  peers?: number;
  /** How long something is watched. */
  seconds?: number;
  /** Of a cost: whether garbage collections are watched, which takes memory of its own. */
  watchesCollections?: boolean;
  /** When the runner gives up; default 90 s. */
  boundSeconds?: number;
  /** Where to leave every time that was measured: µs, as doubles. */
  timesFile?: string;
  /** The file that malloc_count.so maps, where allocations are counted instead of time. */
  mallocFile?: string;
}

/** Allocations while measuring, by who asked for them. */
export interface Allocations {
  addon: number;
  libfabric: number;
  others: number;
  /** Where the addon's last one came from: an offset for addr2line. */
  lastOffset: string;
}

/** What a child has measured. Times in µs are halves of a round trip, or of one operation. */
export interface Result {
  p50?: number;
  mean?: number;
  /** Messages per second. */
  rate?: number;
  /** User and system time of this process while measuring. */
  cpuSeconds: number;
  allocations?: Allocations;
  /** Messages whose bytes were compared with what they should be; one that differs is an error. */
  verified?: number;
  /** What a cost consists of; the unit of each is the end of its name. */
  figures?: Record<string, number>;
  /** What was chosen at run time, in words. */
  note?: string;
}

/** Between the runner and a child. */
export type Note =
  | { kind: 'words'; words: string }
  | { kind: 'barrier' }
  | { kind: 'result'; result: Result }
  | { kind: 'failed'; message: string };

/** Tells the runner. */
export function say(note: Note): Promise<void> {
  return new Promise((resolve, reject) => {
    if (process.send === undefined) {
      reject(new Error('this program is started by bench/run'));
      return;
    }
    process.send(note, undefined, undefined, (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}

function hear(kind: Note['kind']): Promise<Note> {
  return new Promise((resolve, reject) => {
    process.once('message', (message) => {
      const note = message as Note;
      if (note.kind === kind) resolve(note);
      else reject(new Error(`expected '${kind}' of the runner, not '${note.kind}'`));
    });
  });
}

/** Gives words to the other process and gets its words. */
export async function exchange(words: string): Promise<string> {
  const answer = hear('words');
  await say({ kind: 'words', words });
  const note = await answer;
  return note.kind === 'words' ? note.words : '';
}

/** Returns once both processes have called it. */
export async function barrier(): Promise<void> {
  const answer = hear('barrier');
  await say({ kind: 'barrier' });
  await answer;
}

const COUNTS_BYTES = 48;

function armCounter(file: string, pid: number): void {
  const word = Buffer.alloc(4);
  word.writeUInt32LE(pid);
  const fd = openSync(file, 'r+');
  writeSync(fd, word, 0, 4, 0);
  closeSync(fd);
}

function readCounter(file: string): Allocations {
  const counts = Buffer.alloc(COUNTS_BYTES);
  const fd = openSync(file, 'r');
  readSync(fd, counts, 0, COUNTS_BYTES, 0);
  closeSync(fd);
  return {
    addon: Number(counts.readBigUInt64LE(8)),
    libfabric: Number(counts.readBigUInt64LE(16)),
    others: Number(counts.readBigUInt64LE(24)),
    lastOffset: `0x${counts.readBigUInt64LE(32).toString(16)}`,
  };
}

/** Not a local: an allocation that nobody can see would be optimized away. */
export let certain: ArrayBuffer | undefined;

/** CPU time, and allocations where they are counted, from here to the call of what it returns. */
export function startMeter(settings: Settings): () => { cpuSeconds: number; allocations?: Allocations } {
  const { mallocFile } = settings;
  if (mallocFile !== undefined) armCounter(mallocFile, process.pid);
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    const cpuSeconds = (user + system) / 1e6;
    if (mallocFile === undefined) return { cpuSeconds };
    // One that is certain, by node itself: a count of nothing at all would mean that nothing was counted.
    certain = new ArrayBuffer(1 << 20);
    armCounter(mallocFile, 0);
    const allocations = readCounter(mallocFile);
    if (allocations.others === 0) throw new Error('malloc_count.so counts nothing: is it loaded?');
    return { cpuSeconds, allocations };
  };
}

/**
 * Statistics of times in ms, as µs of each of `parts`, of which a round trip has two; the same that the C loop computes.
 * Sorts them.
 */
export function statistics(times: Float64Array, parts = 2): { p50: number; mean: number } {
  let sum = 0;
  for (const time of times) sum += time;
  times.sort();
  const scale = 1000 / parts;
  return { p50: times[times.length >> 1] * scale, mean: (sum / times.length) * scale };
}

/** The same, once they are all in the file that the runner asked for. */
export function summary(settings: Settings, times: Float64Array, parts = 2): ReturnType<typeof statistics> {
  const { timesFile } = settings;
  if (timesFile !== undefined) {
    const microseconds = times.map((time) => (time * 1000) / parts);
    writeFileSync(timesFile, new Uint8Array(microseconds.buffer));
  }
  return statistics(times, parts);
}

/** Runs a child: `measure` returns its result, and what to close once both processes have theirs. */
export async function runChild(
  measure: (settings: Settings) => Promise<{ result: Result; close: () => Promise<void> }>,
): Promise<void> {
  try {
    const settings = JSON.parse(process.argv[2]) as Settings;
    const { result, close } = await measure(settings);
    await say({ kind: 'result', result });
    await barrier();
    await close();
  } catch (error) {
    process.exitCode = 1;
    await say({
      kind: 'failed',
      message: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  } finally {
    process.disconnect();
  }
}
