/** Programs in processes of their own, by their command line. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** How long a program may take before it is ended; the test then fails with what it said so far. */
const BOUND_MS = 40_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program, ended by SIGTERM where it takes too long. */
export class ProgramRun {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  #stderr = '';
  #onOutput: (() => void) | undefined;

  constructor(
    [program, ...args]: readonly [string, ...string[]],
    env: NodeJS.ProcessEnv = {},
    input: 'ignore' | 'pipe' = 'ignore',
  ) {
    this.child = spawn(program, args, {
      cwd: root,
      // Vitest's own settings are not for programs that are run as a user runs them.
      env: { ...process.env, NODE_OPTIONS: undefined, ...env },
      stdio: [input, 'pipe', 'pipe'],
    });
    let stdout = '';
    this.child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
    this.child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.#stderr += chunk;
      this.#onOutput?.();
    });
    const bound = setTimeout(() => this.child.kill('SIGTERM'), BOUND_MS);
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) => {
        clearTimeout(bound);
        resolve({ code, signal, stdout, stderr: this.#stderr });
      });
    });
  }

  /** Until it has written a text to stderr; fails where it ends without. */
  async says(text: string): Promise<void> {
    const said = new Promise<true>((resolve) => {
      this.#onOutput = () => {
        if (this.#stderr.includes(text)) resolve(true);
      };
      this.#onOutput();
    });
    if ((await Promise.race([said, this.ended])) !== true)
      throw new Error(`the program ended without saying '${text}', but:\n${this.#stderr}`);
  }
}
