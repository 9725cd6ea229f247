// Pairs of processes, each on a core of its own: two of our children, two of the C loop, two of fi_pingpong.
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Note, Result, Settings } from './child/link.js';

/** One run of one side of a comparison; both of its processes together. */
export interface Sample {
  p50?: number;
  mean?: number;
  rate?: number;
  /** User and system seconds of both processes while measuring; undefined where it cannot be told. */
  cpuSeconds?: number;
  /** Allocations of both processes. */
  allocations?: { addon: number; libfabric: number; lastOffset: string };
  /** Messages whose bytes were checked, by both processes. */
  verified?: number;
  /** What a cost consists of; the unit of each is the end of its name. */
  figures?: Record<string, number>;
  note?: string;
}

/** The two cores, server's and client's; undefined where processes are not pinned, with the reason. */
export interface Cores {
  pair: [number, number] | undefined;
  reason: string;
}

const RUN_SECONDS = 90;
const here = dirname(fileURLToPath(import.meta.url));

// '0-3,8' as numbers.
function parseList(text: string): number[] {
  return text
    .trim()
    .split(',')
    .flatMap((part) => {
      const [first, last = first] = part.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

function siblingsOf(core: number): number[] {
  try {
    return parseList(
      readFileSync(`/sys/devices/system/cpu/cpu${core}/topology/thread_siblings_list`, 'utf8'),
    );
  } catch {
    return [core];
  }
}

/** Two cores that this process may use, of different physical ones where there are such. */
export function findCores(): Cores {
  const allowed = parseList(
    /^Cpus_allowed_list:(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0',
  );
  if (allowed.length < 2) return { pair: undefined, reason: 'only one core: both processes share it' };
  if (spawnSync('taskset', ['--version']).status !== 0)
    return { pair: undefined, reason: 'taskset (util-linux) is missing: processes are not pinned' };
  const first = allowed[0];
  const second = allowed.find((core) => !siblingsOf(first).includes(core)) ?? allowed[1];
  return { pair: [first, second], reason: `pinned to cores ${first} and ${second}` };
}

export type Role = 'server' | 'client';

/** Which core a process gets; 'both' for one that has two threads. */
type Place = Role | 'both';

/** Starts processes of one pair, and ends them all however it goes. */
class Pair {
  readonly #cores: Cores;
  readonly #children: { name: string; child: ChildProcess; errors: string }[] = [];
  #onSpawnFailure: (error: Error) => void = () => undefined;

  constructor(cores: Cores) {
    this.#cores = cores;
  }

  start(place: Place, command: string, args: string[], options: SpawnOptions): ChildProcess {
    const { pair } = this.#cores;
    const cores = place === 'both' ? pair?.join() : pair?.[place === 'server' ? 0 : 1];
    const line =
      cores === undefined ? [command, ...args] : ['taskset', '-c', String(cores), command, ...args];
    const child = spawn(line[0], line.slice(1), options);
    const entry = { name: place === 'both' ? 'program' : place, child, errors: '' };
    child.stderr?.on('data', (chunk: Buffer) => (entry.errors += chunk.toString()));
    this.#children.push(entry);
    child.on('error', (error) => {
      this.#onSpawnFailure(error);
    });
    return child;
  }

  /** Resolves when all have ended well; rejects as soon as one has not, or after a time. */
  async ended(): Promise<void> {
    const all = this.#children.map(async ({ name, child }) => {
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      if (child.exitCode !== 0)
        throw this.failure(`the ${name} ended with ${child.exitCode ?? child.signalCode ?? ''}`);
    });
    await Promise.all(all);
  }

  failure(what: string): Error {
    const said = this.#children.map(({ errors }) => errors.trim()).filter((text) => text !== '');
    return new Error([what, ...said].join('\n'));
  }

  /** Bounds what runs in the pair. */
  async run<T>(work: () => Promise<T>, boundSeconds = RUN_SECONDS): Promise<T> {
    const stop = new AbortController();
    const noSuchProgram = new Promise<never>((_, reject) => {
      this.#onSpawnFailure = reject;
    });
    const timeout = delay(boundSeconds * 1000, undefined, { signal: stop.signal }).then(() => {
      throw this.failure(`not finished after ${boundSeconds} s`);
    });
    timeout.catch(() => undefined);
    try {
      return await Promise.race([work(), timeout, noSuchProgram]);
    } finally {
      stop.abort();
      for (const { child } of this.#children) if (child.exitCode === null) child.kill('SIGKILL');
    }
  }
}

/** The first line of a process's output; undefined where it ended without one. */
async function firstLine(child: ChildProcess): Promise<string | undefined> {
  if (child.stdout === null) return undefined;
  const lines = createInterface({ input: child.stdout });
  for await (const line of lines) return line;
  return undefined;
}

// ---- our children

/** Passes on what two children say to each other, once both have spoken; resolves with their results. */
function relay(children: Record<Role, ChildProcess>): Promise<Record<Role, Result>> {
  const results: Partial<Record<Role, Result>> = {};
  const said: Record<Role, Note | undefined> = { server: undefined, client: undefined };
  return new Promise((resolve, reject) => {
    const onNote = (role: Role, note: Note): void => {
      if (note.kind === 'failed') reject(new Error(`the ${role} failed: ${note.message}`));
      if (note.kind === 'result') results[role] = note.result;
      if (note.kind !== 'words' && note.kind !== 'barrier') return;
      said[role] = note;
      const { client, server } = said;
      if (client === undefined || server === undefined) return;
      said.client = said.server = undefined;
      // The server first: it should be waiting when the client's first message comes.
      children.server.send(client);
      children.client.send(server);
      if (results.client !== undefined && results.server !== undefined)
        resolve({ client: results.client, server: results.server });
    };
    for (const role of ['server', 'client'] as const) {
      children[role].on('message', (note) => {
        onNote(role, note as Note);
      });
      children[role].once('exit', () => {
        if (results[role] === undefined) reject(new Error(`the ${role} ended without a result`));
      });
    }
  });
}

/** Runs two processes of a program in bench/child. */
export async function runOurs(
  program: string,
  settings: Omit<Settings, 'role'>,
  cores: Cores,
  malloc?: { library: string; file: (role: Role) => string },
): Promise<Sample> {
  const pair = new Pair(cores);
  const start = (role: Role): ChildProcess => {
    const own: Settings = { ...settings, role };
    const env = { ...process.env };
    if (malloc !== undefined) {
      own.mallocFile = malloc.file(role);
      Object.assign(env, { LD_PRELOAD: malloc.library, MALLOC_COUNT_ARM_FILE: own.mallocFile });
    }
    // Options of node are passed on, such as those of its profiler.
    const args = [...process.execArgv, join(here, 'child', `${program}.js`), JSON.stringify(own)];
    return pair.start(role, process.execPath, args, { env, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  };
  const work = async (): Promise<Record<Role, Result>> => {
    const results = await relay({ server: start('server'), client: start('client') }).catch(
      (error: unknown) => {
        throw pair.failure((error as Error).message);
      },
    );
    await pair.ended();
    return results;
  };
  const { client, server } = await pair.run(work, settings.boundSeconds);
  const sample: Sample = { ...server, ...client, cpuSeconds: client.cpuSeconds + server.cpuSeconds };
  if (server.rate !== undefined) sample.rate = server.rate;
  if (client.figures !== undefined) sample.figures = { ...server.figures, ...client.figures };
  if (client.verified !== undefined) sample.verified = client.verified + (server.verified ?? 0);
  if (client.allocations !== undefined && server.allocations !== undefined)
    sample.allocations = {
      addon: client.allocations.addon + server.allocations.addon,
      libfabric: client.allocations.libfabric + server.allocations.libfabric,
      lastOffset:
        client.allocations.addon > 0 ? client.allocations.lastOffset : server.allocations.lastOffset,
    };
  return sample;
}

/** Runs a program in bench/child that has both sides in one process, on two threads. */
export async function runThreads(
  program: string,
  settings: Omit<Settings, 'role'>,
  cores: Cores,
): Promise<Sample> {
  const pair = new Pair(cores);
  const work = async (): Promise<Result> => {
    const args = [join(here, 'child', `${program}.js`), JSON.stringify(settings)];
    const child = pair.start('both', process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    const result = await new Promise<Result>((resolve, reject) => {
      child.on('message', (message) => {
        const note = message as Note;
        if (note.kind === 'result') resolve(note.result);
        if (note.kind === 'failed') reject(pair.failure(note.message));
      });
      child.once('exit', () => reject(pair.failure('the program ended without a result')));
    });
    await pair.ended();
    return result;
  };
  return pair.run(work);
}

// ---- C

/** What to run the C loop with. */
export interface LoopSettings {
  provider: string;
  test: 'latency' | 'rate' | 'bandwidth' | 'write' | 'read';
  size: number;
  iterations: number;
  warmUp: number;
  wait?: 'spin' | 'fd' | 'set';
  /** Operations in flight; default that of the test. */
  window?: number;
  /** Where to leave every time that was measured: µs, as doubles. */
  timesFile?: string;
}

interface LoopReport {
  p50: number | null;
  mean: number | null;
  rate: number | null;
  cpuSeconds: number;
  peerCpuSeconds: number;
  verified: number;
  operation: string;
  wait: string;
}

/** Runs the C loop of bench/native. */
export async function runLoop(program: string, settings: LoopSettings, cores: Cores): Promise<Sample> {
  const { provider, test, size, iterations, warmUp, wait = 'spin', window, timesFile } = settings;
  const pair = new Pair(cores);
  const numbers = ['-S', size, '-n', iterations, '-w', warmUp, '--timeout', RUN_SECONDS].map(String);
  const args = [test, '-p', provider, '--wait', wait, ...numbers];
  if (window !== undefined) args.push('-W', String(window));
  const own = timesFile === undefined ? [] : ['--times', timesFile];
  const work = async (): Promise<Sample> => {
    const server = pair.start('server', program, ['server', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const greeting = await firstLine(server);
    if (greeting === undefined) throw pair.failure('the C loop ended at once');
    const { port } = JSON.parse(greeting) as { port: number };
    const client = pair.start('client', program, ['client', ...args, ...own, '--port', String(port)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [answer] = await Promise.all([firstLine(client), pair.ended()]);
    const report = JSON.parse(answer ?? '{}') as LoopReport;
    return {
      ...(report.p50 === null ? {} : { p50: report.p50 }),
      ...(report.mean === null ? {} : { mean: report.mean }),
      ...(report.rate === null ? {} : { rate: report.rate }),
      cpuSeconds: report.cpuSeconds + report.peerCpuSeconds,
      verified: report.verified,
      note: test === 'latency' ? `fi_${report.operation}, ${report.wait}` : report.wait,
    };
  };
  return pair.run(work);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Whether somebody listens on a TCP port: asked of the kernel, as fi_pingpong serves one connection only. */
function isListening(port: number): boolean {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const pattern = new RegExp(`:${hex} [0-9A-F]+:0000 0A `);
  return ['/proc/net/tcp', '/proc/net/tcp6'].some((file) => {
    try {
      return pattern.test(readFileSync(file, 'utf8'));
    } catch {
      return false;
    }
  });
}

/** Runs libfabric's own fi_pingpong, which prints a mean. */
export async function runPingPong(
  settings: { provider: string; size: number; iterations: number },
  cores: Cores,
): Promise<Sample> {
  const { provider, size, iterations } = settings;
  const pair = new Pair(cores);
  const args = ['-p', provider, '-e', 'rdm', '-S', String(size), '-I', String(iterations)];
  const work = async (): Promise<Sample> => {
    const port = String(await freePort());
    const server = pair.start('server', 'fi_pingpong', [...args, '-B', port], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    while (!isListening(Number(port))) {
      if (server.exitCode !== null) throw pair.failure('fi_pingpong ended at once');
      await delay(5);
    }
    const client = pair.start('client', 'fi_pingpong', [...args, '-P', port, '127.0.0.1'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    client.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await pair.ended();
    // bytes #sent #ack total time MB/sec usec/xfer Mxfers/sec
    const mean = Number(output.trim().split('\n').at(-1)?.trim().split(/\s+/).at(-2));
    if (!Number.isFinite(mean)) throw pair.failure(`fi_pingpong's output is not understood: ${output}`);
    return { mean };
  };
  return pair.run(work);
}
