/** Memory of a process of its own, for endpoints of the test. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import {
  type Endpoint,
  type Feature,
  type Operations,
  type Peer,
  RemoteMemory,
  type RemoteMemoryJson,
} from 'libfabric';
import { until } from './everyday.js';
import { type ProviderUnderTest, openOne, openOptions } from './providers.js';

const program = fileURLToPath(new URL('../programs/rma-target.mjs', import.meta.url));

export interface Target<F extends readonly Feature[]> {
  readonly a: Endpoint & Operations<F>;
  readonly peer: Peer;
  /** A MiB of the other process's. */
  readonly remote: RemoteMemory;
  readonly child: ChildProcess;
  /** The next word that it says. */
  readonly heard: () => Promise<string>;
}

async function hear<T>(child: ChildProcess): Promise<T> {
  const [word] = (await once(child, 'message')) as [T];
  return word;
}

/** Starts the process, which is killed after the test, and makes both know each other. */
export async function openTarget<const F extends readonly Feature[]>(
  provider: ProviderUnderTest,
  features: F,
): Promise<Target<F>> {
  const child = fork(program, [JSON.stringify({ ...openOptions(provider), features })], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const told = hear<{ contact: string; remote: RemoteMemoryJson }>(child);
  const a = await openOne<F>(provider, { features });
  // What a provider says of a peer that died is not the point, only that everything settles.
  a.removeAllListeners('error').on('error', () => undefined);
  const { contact, remote } = await told;
  const peer = a.peer(contact);
  const ready = hear(child);
  child.send({ contact: a.contact });
  await ready;
  return { a, peer, remote: RemoteMemory.from(remote), child, heard: () => hear<string>(child) };
}

/** Stops the process. A signal is on its way for a moment, in which it could still answer. */
export async function stop({ pid = 0 }: ChildProcess): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  // What stands behind the name, which may contain anything: the state, T when stopped.
  await until(() =>
    readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
      .replace(/^.*\)/, '')
      .includes(' T '),
  );
}
