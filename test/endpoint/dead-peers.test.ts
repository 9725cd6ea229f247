/** Peers whose process is killed, stopped, or ends without a word: everything settles, and close() returns. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import type { Endpoint, Peer } from 'libfabric';
import { range, rejection } from '../helpers/everyday.js';
import { describeOnProviders, openOne, openOptions, type ProviderUnderTest } from '../helpers/providers.js';

const program = fileURLToPath(new URL('../programs/mortal-peer.mjs', import.meta.url));

async function heard(child: ChildProcess): Promise<string> {
  const [word] = (await once(child, 'message')) as [string];
  return word;
}

/** An endpoint, and a peer in a process of its own, which have exchanged a message. */
async function connected(
  provider: ProviderUnderTest,
): Promise<{ a: Endpoint; peer: Peer; child: ChildProcess }> {
  const child = fork(program, [JSON.stringify(openOptions(provider))], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const a = await openOne(provider);
  // What a provider says of a peer that died is not the point here, only that everything settles.
  a.removeAllListeners('error').on('error', () => undefined);
  const peer = a.peer(await heard(child));
  const ready = heard(child);
  child.send(a.contact);
  // Each knows the other before the first message: udp;ofi_rxd may lose one whose sender is introduced meanwhile.
  await ready;
  const answer = a.recv(64, { timeoutMs: 20_000 });
  await a.send(peer, new Uint8Array(8));
  await answer;
  return { a, peer, child };
}

async function end(child: ChildProcess, how: 'killed' | 'stopped' | 'gone'): Promise<void> {
  if (how === 'stopped') {
    child.kill('SIGSTOP');
    return;
  }
  const exited = once(child, 'exit');
  if (how === 'killed') child.kill('SIGKILL');
  else child.send('exit');
  await exited;
}

/** What a send to a dead peer may end with, besides success: the provider's word, the deadline, or the reason given. */
function expectOneOf(outcomes: readonly PromiseSettledResult<void>[], ...allowed: string[]): void {
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') continue;
    const { name, message } = outcome.reason as Error;
    expect(
      [name, message].some((word) => allowed.includes(word)),
      `${name}: ${message}`,
    ).toBe(true);
  }
}

describeOnProviders('a peer whose process is', { timeoutMs: 60_000 }, (provider) => {
  test.each(['killed', 'stopped', 'gone'] as const)('%s', async (how) => {
    const { a, peer, child } = await connected(provider);
    await end(child, how);
    const data = new Uint8Array(3000);
    const bounded = Promise.allSettled(range(50).map(() => a.send(peer, data, { timeoutMs: 300 })));
    const unbounded = Promise.allSettled(range(400).map(() => a.send(peer, data)));
    expect(await rejection(a.recv(64, { timeoutMs: 300 }))).toHaveProperty('name', 'TimeoutError');
    expectOneOf(await bounded, 'TimeoutError', 'CompletionError', 'FabricError');

    peer.close(new Error('given up'));
    expectOneOf(await unbounded, 'given up', 'CompletionError', 'FabricError');
    expect(a.stats().sendsWaiting).toBe(0);

    const forever = rejection(a.recv(64));
    await a.close({ timeoutMs: 1000 });
    expect(await forever).toHaveProperty('code', 'ERR_FABRIC_CLOSED');
  });
});
