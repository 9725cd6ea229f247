/** Programs of test/softefa/programs, each started on two software EFA devices of its own; and a peer that can fail. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { isAvailable } from 'libfabric';
import { libraryVersion } from 'libfabric/fi';
import { expect, onTestFinished } from 'vitest';
import type { Ended } from './program.js';
import { CommandRun } from './softefa.js';

export type Asked = readonly [program: string, rule: string, argument?: string];

export function startProgram([program, rule, argument = '']: Asked, env: NodeJS.ProcessEnv = {}): CommandRun {
  const file = `out/test/softefa/programs/${program}.js`;
  return new CommandRun(['softefa', '--devices', '2', '--', 'node', file, rule, argument], env, 'pipe');
}

export async function runProgram(asked: Asked, env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return await startProgram(asked, env).ended;
}

/** What a program found out, in one line of JSON. It says nothing else, and ends well. */
export async function askProgram<Answer>(asked: Asked, env: NodeJS.ProcessEnv = {}): Promise<Answer> {
  const { code, signal, stdout, stderr } = await runProgram(asked, env);
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  return JSON.parse(stdout) as Answer;
}

/** What a program says, line by line. */
export class Said {
  readonly #lines: AsyncIterator<string, undefined>;

  constructor(run: CommandRun) {
    this.#lines = createInterface(run.child.stdout!)[Symbol.asyncIterator]();
  }

  /** The next line, which is JSON. The program's end is a failure. */
  async next<Answer>(): Promise<Answer> {
    const { done, value } = await this.#lines.next();
    if (done === true) expect.fail('the program ended');
    return JSON.parse(value) as Answer;
  }
}

/** The next that a program says. */
export async function line(run: CommandRun): Promise<string> {
  const [text] = (await once(run.child.stdout!, 'data')) as [string];
  return text.trim();
}

export interface Receiver {
  readonly pid: number;
  readonly nic: number;
  readonly contact: string;
}

/** A receiver whose device stays when it has gone, as hardware does. It ends with the test. */
export async function startReceiver(): Promise<Receiver> {
  const run = new CommandRun(
    ['softefa', '--', 'sh', '-c', 'node test/programs/efa-receiver.mjs; read forever'],
    {},
    'pipe',
  );
  const receiver = JSON.parse(await line(run)) as Receiver;
  onTestFinished(async () => {
    process.kill(receiver.nic, 'SIGCONT');
    if (existsSync(`/proc/${receiver.pid}`)) process.kill(receiver.pid, 'SIGKILL');
    run.child.stdin?.end();
    await run.ended;
  });
  return receiver;
}

/** Kills a receiver, and waits until nothing of its process is left. */
export async function killReceiver({ pid }: Receiver): Promise<void> {
  process.kill(pid, 'SIGKILL');
  while (existsSync(`/proc/${pid}`)) await delay(5);
}

/** As libfabric has it: 2.1 is 0x20001. */
const version = (major: number, minor: number): number => (major << 16) | minor;

/** Whether this machine's libfabric is so new; false where there is none. */
export const isSince = (major: number, minor: number): boolean =>
  isAvailable().available && libraryVersion().version >= version(major, minor);

/** The fabrics of provider efa in this libfabric: a test that finds another list fails. */
export const fabrics: readonly string[] = isSince(2, 1) ? ['efa', 'efa-direct'] : ['efa'];
export const hasDirect = fabrics.includes('efa-direct');
