/** Child processes of the lifecycle tests: one per case, each bounded, with everything that it said. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Far more than any case needs, also under a sanitizer on a busy machine: a child that takes so long hangs. */
const BOUND_MS = 40_000;

/** The bound of a test that runs children one after the other; a hanging child has to end before it. */
export const CHILD_TEST_MS = 2 * BOUND_MS + 10_000;

export interface ChildOptions {
  /** Flags of node itself. */
  nodeFlags?: readonly string[];
  env?: Record<string, string>;
  /** What to start node with, such as `unshare --mount`. */
  before?: readonly string[];
  /** Called once, when the child has printed a line `ready`. */
  onReady?: (child: ChildProcess) => void;
}

export interface ChildResult {
  pid: number;
  /** Exit code, null where a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  /** Without the path of the checkout, which may contain any word. */
  stderr: string;
  /** What it left in /dev/shm under its own name. */
  files: string[];
}

/** The compiled program of test/lifecycle/programs. */
export function programPath(name: string): string {
  const path = `${root}out/test/lifecycle/programs/${name}.js`;
  if (!existsSync(path)) throw new Error(`${path} is not built: npm run build:ts`);
  return path;
}

/** Names in /dev/shm that the endpoints of a process have. */
export function filesOf(pid: number): string[] {
  return readdirSync('/dev/shm').filter((name) => name.startsWith(`libfabric-${pid}-`));
}

// A mount must not reach anybody else. In a chroot the propagation cannot be changed, and where nothing is shared it need not.
const propagation = readFileSync('/proc/self/mountinfo', 'utf8').includes(' shared:')
  ? 'private'
  : 'unchanged';

const mountOwn = (command: string): string[] => [
  ...['unshare', '--mount', '--propagation', propagation, 'sh', '-c'],
  `mount -t tmpfs -o "size=$0,nr_inodes=$1" none /dev/shm && shift && ${command}`,
];

/** What to start a program with so that it, and its children, have a /dev/shm of their own, of so many bytes and files. */
export function ownSharedMemory(bytes: number, inodes: number): readonly string[] {
  return [...mountOwn('exec "$@"'), String(bytes), String(inodes)];
}

/** Why no program can have a /dev/shm of its own here: mounting needs root, and a container may forbid it even so. */
export function whyNoOwnSharedMemory(): string | undefined {
  const [command, ...args] = [...mountOwn('true'), '4096', '10'];
  const { status, error, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: BOUND_MS });
  return status === 0 ? undefined : `no /dev/shm of its own: ${error?.message ?? stderr.trim()}`;
}

/** Runs a program of test/lifecycle/programs to its end. `argument` reaches it as JSON. */
export function runChild(
  program: string,
  argument: unknown,
  options: ChildOptions = {},
): Promise<ChildResult> {
  const { nodeFlags = [], env = {}, before = [], onReady } = options;
  const [command, ...args] = [
    ...before,
    process.execPath,
    ...nodeFlags,
    programPath(program),
    JSON.stringify(argument),
  ];
  const child = spawn(command, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    timeout: BOUND_MS,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  let isReady = false;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    if (isReady || !/^ready$/m.test(stdout)) return;
    isReady = true;
    onReady?.(child);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const pid = child.pid!;
      resolve({
        pid,
        code,
        signal,
        stdout,
        stderr: stderr.replaceAll(root, '/checkout/'),
        files: filesOf(pid),
      });
    });
  });
}

/** The last line that a program printed, which is its result as JSON; an error with its whole output where there is none. */
export function resultOf(child: ChildResult): unknown {
  const { code, signal, stdout, stderr } = child;
  const last = stdout.trimEnd().split('\n').at(-1) ?? '';
  if (code !== 0 || !last.startsWith('{'))
    throw new Error(`the child ended with ${code ?? signal}: ${stdout}${stderr}`);
  return JSON.parse(last);
}

/** The sanitizer that this run's addon is built with, which scripts/test.mjs preloads. */
export const sanitizer: string | undefined =
  process.env.LD_PRELOAD?.includes('libasan') === true ? 'ASan' : undefined;
