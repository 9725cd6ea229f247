// What the benchmarks need before they run: the C programs, and, for libfabric 2.1, a Debian 13 root to run in.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** This checkout: the program runs as out/bench/setup.js. */
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const sources = join(root, 'bench', 'native');

/** The programs of bench/native. */
export interface NativePrograms {
  loop: string;
  mallocCount: string;
  coreDistance: string;
}

function run(command: string, args: string[], env: NodeJS.ProcessEnv = process.env): string {
  const { status, stdout, error } = spawnSync(command, args, {
    cwd: root,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed`);
  return stdout.trim();
}

function isFresh(file: string): boolean {
  if (!existsSync(file)) return false;
  const built = statSync(file).mtimeMs;
  return readdirSync(sources)
    .filter((name) => /\.(c|h|sh)$/.test(name))
    .every((name) => statSync(join(sources, name)).mtimeMs <= built);
}

function programsIn(folder: string): NativePrograms {
  return {
    loop: join(folder, 'fabric_loop'),
    mallocCount: join(folder, 'malloc_count.so'),
    coreDistance: join(folder, 'core_distance'),
  };
}

/** Builds the C programs where they are stale, with another Debian's libfabric where `sysroot` names one. */
function build(folder: string, sysroot?: string): NativePrograms {
  const programs = programsIn(folder);
  if (Object.values(programs as object).every((file) => isFresh(file as string))) return programs;
  console.error('bench: compiling bench/native');
  run('sh', [join(sources, 'build.sh'), folder], {
    ...process.env,
    ...(sysroot === undefined ? {} : { SYSROOT: sysroot }),
  });
  return programs;
}

/** The C programs for this machine; those of `folder`, built already, where it is given. */
export function nativePrograms(folder: string | undefined): NativePrograms {
  return folder === undefined ? build(join(sources, 'build')) : programsIn(folder);
}

/** Runs the benchmarks inside the Debian 13 root with the same arguments; the exit code. */
export function runInDebian13(args: readonly string[]): number {
  const script = join(root, 'scripts', 'debian13.sh');
  const folder = join(root, 'out', 'bench-debian13');
  build(folder, run('bash', [script, 'make']).split('\n').at(-1));
  const own = join(root, 'out', 'bench', 'run.js');
  const { status } = spawnSync('bash', [script, 'run', 'node', own, ...args, '--native', folder], {
    cwd: root,
    stdio: 'inherit',
  });
  return status ?? 1;
}
