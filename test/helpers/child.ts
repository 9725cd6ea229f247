/** Programs in processes of their own: plain node, with the compiled package under its name. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** How long a child may take before it is killed; the test then fails with what it said so far. */
const BOUND_MS = 40_000;

export interface ChildResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface ChildOptions {
  /** Added to this process's variables; undefined removes one. */
  env?: Readonly<Record<string, string | undefined>>;
}

/** Runs a module's text, in the package's folder, to its end. */
export async function runModule(text: string, options: ChildOptions = {}): Promise<ChildResult> {
  // Vitest's own settings are not for programs that are run as a user runs them. An undefined one is left out.
  const env: NodeJS.ProcessEnv = { ...process.env, NODE_OPTIONS: undefined, ...options.env };
  const child = spawn(process.execPath, ['--input-type=module', '--eval', text], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  const bound = setTimeout(() => child.kill('SIGKILL'), BOUND_MS);
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, by) => {
      resolve([status, by]);
    });
  });
  clearTimeout(bound);
  return { code, signal, stdout, stderr };
}

/** Runs a module that prints one line of JSON, and answers it; fails where it ended in any other way. */
export async function resultOf(text: string, options: ChildOptions = {}): Promise<unknown> {
  const { code, signal, stdout, stderr } = await runModule(text, options);
  if (code !== 0) throw new Error(`the child ended with ${code ?? signal}; it printed:\n${stdout}${stderr}`);
  return JSON.parse(stdout);
}
