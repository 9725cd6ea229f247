import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import type { Reporter, TestCase, TestModule, Vitest } from 'vitest/node';

/** Longer than any test and hook may take together, several times over. */
const BOUND_MS = 300_000;

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // it has ended meanwhile
  }
};

/** The processes of vitest's own that run test files. */
function workers(): number[] {
  const isWorker = (pid: string): boolean =>
    // After the name, which may hold anything, in parentheses: the state and the parent.
    read(`/proc/${pid}/stat`)
      .replace(/.*\) . /s, '')
      .split(' ', 1)[0] === String(process.pid) && read(`/proc/${pid}/cmdline`).includes('vitest');
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isWorker(name))
    .map(Number);
}

/** Threads of Node's own that wait for work. */
const idle = /PlatformWorkerThread|DelayedTaskScheduler|StartIoThreadMain|threadpool\.c/;

/** Where each thread of a process is, in a line each: of a long log often only the end is kept. */
function stacks(pid: number): string {
  const gdb = ['-p', String(pid), '-batch', '-ex', 'thread apply all backtrace 30'];
  const { stdout, stderr, error } = spawnSync('gdb', gdb, { encoding: 'utf8', timeout: 60_000 });
  if (error !== undefined || !stdout.includes('#0')) return error?.message ?? stderr;
  const functionOf = (frame: string): string => frame.replace(/^#\d+ +(0x\w+ in )?/, '').split(' (', 1)[0];
  return stdout
    .split(/^(?=Thread \d)/m)
    .filter((thread) => thread.startsWith('Thread') && !idle.test(thread))
    .map((thread) => `${thread.split('\n', 1)[0]} ${thread.match(/^#.*/gm)?.map(functionOf).join(' < ')}`)
    .join('\n');
}

/**
 * Ends what no test's time limit ends: a worker whose JavaScript thread is blocked. It says which test was running and
 * where each thread is, as gdb has it, and kills the worker, whose file vitest counts as failed; without it the run would
 * last for ever.
 */
export class SilenceReporter implements Reporter {
  readonly #running = new Map<string, string>();
  #heard = Date.now();
  #timer: NodeJS.Timeout | undefined;
  #vitest: Vitest | undefined;

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  onTestRunStart(): void {
    this.#heard = Date.now();
    this.#timer = setInterval(() => this.#check(), 10_000).unref();
  }

  onTestModuleStart(module: TestModule): void {
    this.#hear(module, 'its start');
  }

  onTestCaseReady(test: TestCase): void {
    this.#hear(test.module, test.fullName);
  }

  onTestCaseResult(test: TestCase): void {
    this.#hear(test.module, `what comes after: ${test.fullName}`);
  }

  onTestModuleEnd(module: TestModule): void {
    this.#heard = Date.now();
    this.#running.delete(module.moduleId);
  }

  onTestRunEnd(): void {
    clearInterval(this.#timer);
  }

  #hear(module: TestModule, what: string): void {
    this.#heard = Date.now();
    this.#running.set(module.moduleId, what);
  }

  #check(): void {
    if (Date.now() - this.#heard < BOUND_MS) return;
    this.#heard = Date.now();
    const running = [...this.#running].map(([file, what]) => `in ${file}, last heard of at ${what}`);
    const killed = workers().map((pid) => {
      const where = stacks(pid);
      process.kill(pid, 'SIGKILL');
      return `worker ${String(pid)}, killed:\n${where}`;
    });
    const heard = `the run hangs: no test was heard of for ${String(BOUND_MS / 1000)} s`;
    // Said by vitest at the end of the run.
    this.#vitest?.state.catchError(new Error([heard, ...running, ...killed].join('\n')), 'Hang');
  }
}
