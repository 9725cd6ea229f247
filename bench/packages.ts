// The packages that only the benchmarks need: bench/package.json names them, bench/node_modules has them. They are found
// from there at run time, so that neither the library nor its checks depend on them; what is used of each is declared here.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'bench');
const require = createRequire(join(folder, 'package.json'));
const INSTALL_MS = 300_000;

/** Of hdr-histogram-js. */
export interface HdrHistogram {
  recordValue(value: number): void;
  getValueAtPercentile(percentile: number): number;
  readonly totalCount: number;
  readonly maxValue: number;
  readonly mean: number;
}

export interface HdrModule {
  build(request: {
    lowestDiscernibleValue: number;
    highestTrackableValue: number;
    numberOfSignificantValueDigits: number;
    bitBucketSize: 64;
  }): HdrHistogram;
}

/** Of cli-progress. */
export interface ProgressModule {
  SingleBar: new (options: object) => {
    start(total: number, at: number, payload: object): void;
    increment(by: number, payload: object): void;
    stop(): void;
  };
}

/** Of ws. */
export interface WebSocket {
  readonly bufferedAmount: number;
  send(data: Uint8Array, onSent?: () => void): void;
  on(event: 'message', listener: (data: Buffer) => void): void;
  once(event: 'open', listener: () => void): void;
  terminate(): void;
}

export interface WebSocketModule {
  WebSocket: new (url: string, options: object) => WebSocket;
  WebSocketServer: new (options: object) => {
    address(): { port: number };
    once(event: 'listening', listener: () => void): void;
    once(event: 'connection', listener: (socket: WebSocket) => void): void;
    close(): void;
  };
}

/** Of zeromq. */
export interface ZeroMqModule {
  Pair: new (options: object) => AsyncIterable<Buffer[]> & {
    readonly lastEndpoint: string | null;
    bind(address: string): Promise<void>;
    connect(address: string): void;
    send(data: Uint8Array): Promise<void>;
    close(): void;
  };
}

interface Modules {
  'hdr-histogram-js': HdrModule;
  'cli-progress': ProgressModule;
  ws: WebSocketModule;
  zeromq: ZeroMqModule;
}

export type PackageName = keyof Modules;

export function isInstalled(name: PackageName): boolean {
  return existsSync(join(folder, 'node_modules', name, 'package.json'));
}

/** A package of bench/node_modules; undefined where it is not installed. */
export function load<N extends PackageName>(name: N): Modules[N] | undefined {
  return isInstalled(name) ? (require(name) as Modules[N]) : undefined;
}

/** As load(), for what cannot do without. */
export function required<N extends PackageName>(name: N): Modules[N] {
  const found = load(name);
  if (found === undefined) throw new Error(`${name} is not installed: run 'npm ci' in bench/`);
  return found;
}

/** Installs what is absent; undefined, or why that failed. No install script: none of the packages needs one. */
export function install(say: (text: string) => void): string | undefined {
  const names: readonly PackageName[] = ['hdr-histogram-js', 'cli-progress', 'ws', 'zeromq'];
  if (names.every(isInstalled)) return undefined;
  say('installing the packages of bench/');
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel', 'error'];
  const { status, stderr, error } = spawnSync('npm', args, {
    cwd: folder,
    encoding: 'utf8',
    timeout: INSTALL_MS,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (status === 0) return undefined;
  return error?.message ?? stderr.trim().split('\n', 1)[0];
}
