// What fails after it was accepted, or half way: 'error' events, and batches of which a part is sent.
import { expect, onTestFinished, test } from 'vitest';
import { CompletionError } from 'libfabric';
import { numbered, numberOf, range, rejection, until } from '../helpers/everyday.js';
import {
  describeOnProviders,
  openOne,
  openPair,
  type Pair,
  type ProviderUnderTest,
} from '../helpers/providers.js';

/** A pair of which a has sent what b did not read, without waiting for any of it; then b has closed. */
async function abandoned(provider: ProviderUnderTest): Promise<Pair<[]>> {
  const pair = await openPair(provider);
  const { a, b, toB } = pair;
  const received = b.recv(64);
  await a.send(toB, numbered(1));
  await received;
  a.removeAllListeners('error');
  await until(() => !a.trySend(toB, numbered(2, 20_000)));
  return pair;
}

// The others need not tell that a peer is gone: shm writes to memory, rxd sends again, sockets has taken all in, and rxm
// of libfabric 1.17 connects again.
describeOnProviders('a send that fails after it was accepted', { providers: ['tcp'] }, (provider) => {
  test("is an 'error' event that says which peer, and why; the endpoint stays open for others", async () => {
    const { a, b, toB } = await abandoned(provider);
    const errors: Error[] = [];
    a.on('error', (error: Error) => errors.push(error));
    await b.close();
    await until(() => errors.length > 0);
    expect(errors[0]).toBeInstanceOf(CompletionError);
    expect(errors[0]).toMatchObject({ operation: 'send', peer: toB.contact });
    expect(errors[0].message).toMatch(/^send of 20000 bytes failed: .*FI_E[A-Z]+/);

    const other = await openOne(provider);
    const received = other.recv(64);
    await a.send(a.peer(other.contact), numbered(7));
    expect(numberOf(await received)).toBe(7);
  });

  test('is one warning where nobody listens, and ends no process', async () => {
    const { a, b } = await abandoned(provider);
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on('warning', note);
    onTestFinished(() => void process.off('warning', note));
    await b.close();
    await until(() => warnings.length > 0);
    expect(warnings[0].message).toMatch(/^CompletionError: send of 20000 bytes failed: /);
    // Whatever broke with it says the same: it has failed too, and was not said again.
    await a.close();
    expect(a.stats().errors).toBeGreaterThan(warnings.length);
    expect(new Set(warnings.map(({ message }) => message)).size).toBe(warnings.length);
  });
});

describeOnProviders('a batch that is aborted half way', {}, (provider) => {
  test('has sent a prefix of its items, and nothing else', async (context) => {
    if (!provider.spins) context.skip(`${provider.name} has threads of its own that make room at any time`);
    if (provider.family === 'efa') context.skip('on efa none of it has completed when it is aborted');
    const { a, b, toB } = await openPair(provider);
    const received = b.recv(64);
    await a.send(toB, numbered(0));
    await received;
    const items = range(3000).map((number) => numbered(number, 5000));
    const controller = new AbortController();
    const batch = a.sendBatch(toB, items, { signal: controller.signal });
    const behind = a.send(toB, numbered(9_000_000));
    controller.abort(new Error('enough of it'));
    const error = await rejection(batch);
    expect(error.message).toBe('enough of it');
    const sent = a.stats().messagesSent - 1;
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(items.length);
    const seen: number[] = [];
    while (seen.at(-1) !== 9_000_000) seen.push(numberOf(await b.recv(5000)));
    await behind;
    await error.released;
    expect(seen.slice(0, -1)).toEqual(range(seen.length - 1));
    expect(a.stats().messagesSent).toBe(seen.length + 1);
  });

  test('rejects with the reason that its peer was closed for, and says no more of it', async () => {
    const { a, toB } = await openPair(provider);
    const reason = new Error('not wanted any more');
    const batch = a.sendBatch(
      toB,
      range(3000).map((number) => numbered(number, 5000)),
    );
    toB.close(reason);
    expect(await rejection(batch)).toBe(reason);
    expect(a.stats().sendsWaiting).toBe(0);
  });
});
