/** A loop that sleeps on a queue's file descriptor. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as after } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { describeOnProviders, openOne, openOptions } from '../helpers/providers.js';
import { stop } from '../helpers/rma-target.js';

const program = fileURLToPath(new URL('../programs/echo-peer.mjs', import.meta.url));
const LIARS = ['net', 'tcp', 'tcp;ofi_rxm'];
const ROUND_TRIPS = 1000;

describeOnProviders('a loop asleep', {}, (provider) => {
  // While a connection is being made, the descriptor of these stays readable though there is nothing to read.
  // Known: it does so long enough to be noticed mostly where the processors are busy. On an idle machine a loop that never
  // believes again passes here in most runs too.
  test('believes a file descriptor again that lied for a while', async (context) => {
    if (!LIARS.includes(provider.name)) context.skip(`${provider.name} was not seen to lie`);
    const settings = { ...openOptions(provider), spinMicroseconds: 0 };
    const child = fork(program, [JSON.stringify(settings)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const heard = async (): Promise<string> => ((await once(child, 'message')) as [string])[0];
    const endpoint = await openOne(provider, { spinMicroseconds: 0 });
    const peer = endpoint.peer(await heard());
    const ready = heard();
    child.send(endpoint.contact);
    await ready;
    const roundTrip = async (): Promise<void> => {
      await endpoint.send(peer, new Uint8Array(8));
      await endpoint.recv(8, { timeoutMs: 15_000 });
    };

    await stop(child);
    const first = roundTrip();
    await after(300); // Not to wait for anything: so long, nobody answers.
    child.kill('SIGCONT');
    await first;

    const before = endpoint.stats().threadReads;
    for (let i = 0; i < ROUND_TRIPS; i++) await roundTrip();
    // A loop that the descriptor wakes reads for itself. Else the engine's thread finds the answers, most of them.
    expect(endpoint.stats().threadReads - before).toBeLessThan(0.4 * ROUND_TRIPS);
  });
});
