/** The end of an endpoint and of a peer: everything settles, in order, within its bound. */
import { expect, test } from 'vitest';
import type { Message } from 'libfabric';
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describeOnProviders, openOne, openOptions, openPair } from '../helpers/providers.js';
import { numbered, numberOf, pattern, rejection, settledOf, until } from '../helpers/everyday.js';

const sender = fileURLToPath(new URL('../programs/send-and-exit.mjs', import.meta.url));

describeOnProviders('close()', { timeoutMs: 60_000 }, (provider) => {
  test('rejects receives and ends iterators at once', async (context) => {
    if (provider.isBare) context.skip('it has no tagged messages');
    const { a } = await openPair(provider, { features: ['tagged'] });
    const receives = [a.recv(64), a.recv(new Uint8Array(64)), a.recvTagged(1, 64)];
    const errors = receives.map((receive) => rejection(receive));
    const closing = a.close();
    for (const error of await Promise.all(errors)) expect(error.code).toBe('ERR_FABRIC_CLOSED');
    await closing;
    for (const error of await Promise.all(errors)) {
      expect(error.released).toBeInstanceOf(Promise);
      await error.released;
    }
  });

  test('ends an iterator that waits, and one that comes later', async () => {
    const { a } = await openPair(provider);
    const messages = a.messages();
    const waiting = messages.next();
    const closing = a.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(await messages.next()).toEqual({ done: true, value: undefined });
    await closing;
  });

  test('lets sends drain: what was sent before arrives', async () => {
    const { a, b, toB } = await openPair(provider);
    const count = 200;
    const seen: number[] = [];
    const reading = (async () => {
      for await (const message of b.messages()) {
        seen.push(numberOf(message));
        if (seen.length === count) break;
      }
    })();
    for (let number = 0; number < count; number++) await a.send(toB, numbered(number, 512));
    await a.close();
    await reading;
    if (provider.isBare) seen.sort((one, other) => one - other);
    expect(seen).toEqual(Array.from({ length: count }, (_, number) => number));
  });

  test('is idempotent, and says when it is done', async () => {
    const a = await openOne(provider);
    let closed = 0;
    a.on('close', () => (closed += 1));
    const first = a.close();
    expect(a.close()).toBe(first);
    expect(a.closed).toBe(true);
    await first;
    expect(closed).toBe(1);
    await a.close();
    expect(closed).toBe(1);
  });

  test('is what `await using` does', async () => {
    const a = await openOne(provider);
    await a[Symbol.asyncDispose]();
    expect(a.closed).toBe(true);
  });

  test('closes peers', async () => {
    const { a, toB } = await openPair(provider);
    await a.close();
    expect(toB.closed).toBe(true);
  });

  test('1,000 sends, close, exit: a peer that reads late counts 1,000', async (context) => {
    if (provider.isBare) context.skip('nothing takes a message that comes before a receive is posted');
    const endpoint = await openOne(provider);
    const child = fork(sender, [JSON.stringify(openOptions(provider)), endpoint.contact, '1000'], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const exit = await new Promise((resolve) => child.once('exit', resolve));
    expect(exit).toBe(0);
    for (let number = 0; number < 1000; number++) {
      const message = await endpoint.recv(64, { timeoutMs: 20_000 });
      expect(numberOf(message)).toBe(number);
    }
  });
});

describeOnProviders('a peer', { timeoutMs: 60_000 }, (provider) => {
  test('is the same for the same contact, and counted', async () => {
    const { a, b, toB } = await openPair(provider);
    const again = a.peer(b.contact);
    expect(again).toBe(toB);
    expect(a.peer(b.address)).toBe(toB);
    again[Symbol.dispose]();
    toB[Symbol.dispose]();
    expect(toB.closed).toBe(false);
    toB[Symbol.dispose]();
    expect(toB.closed).toBe(true);
  });

  test('can be asked for again after it was closed', async () => {
    const { a, b, toB } = await openPair(provider);
    const first = b.recv(64);
    await a.send(toB, numbered(1));
    await first;
    toB.close();
    const again = a.peer(b.contact);
    expect(again).not.toBe(toB);
    const received = b.recv(64);
    await a.send(again, numbered(2));
    expect(numberOf(await received)).toBe(2);
  });

  test('close(reason) settles everything to it with the reason', async (context) => {
    if (!provider.namesSender) context.skip('it cannot receive from one peer only');
    if (provider.isBare) context.skip('it has no tagged messages');
    if (provider.name === 'sockets') context.skip('its threads take whatever is sent: nothing waits');
    const { a, toB } = await openPair(provider, { features: ['tagged'] });
    const reason = new Error('the peer is dead');
    // More than any provider takes without somebody who reads.
    const sends = Array.from({ length: 3000 }, () => a.send(toB, pattern(16_384)));
    const outcomes = Promise.allSettled(sends);
    const receive = rejection(a.recvTagged(1, 64, { from: toB }));
    await until(() => a.stats().sendsWaiting > 0);
    toB.close(reason);
    expect(await receive).toBe(reason);
    const rejected = (await outcomes).filter(
      ({ status }) => status === 'rejected',
    ) as PromiseRejectedResult[];
    expect(rejected.length).toBeGreaterThan(0);
    for (const outcome of rejected) expect(outcome.reason).toBe(reason);
    expect(a.stats().sendsWaiting).toBe(0);
  });

  test('many at once', async () => {
    const { a, b } = await openPair(provider);
    const own = Array.from({ length: 50 }, () => b.contact);
    const peers = await a.peers(own);
    expect(new Set(peers).size).toBe(1);
    expect(await a.peers([])).toEqual([]);
    expect((await rejection(a.peers([b.contact, 'nonsense']))).code).toBe('ERR_FABRIC_ADDRESS');
  });

  test.each<[string, (contact: string) => unknown, RegExp]>([
    [
      'of another family',
      (contact) => contact.replace(/fabric:[^/]+/, 'fabric:other'),
      /provider family 'other'/,
    ],
    [
      'of another format',
      (contact) => contact.replace(/FI_[A-Z0-9_]+/, 'FI_ADDR_GNI'),
      /address format is FI_ADDR_GNI/,
    ],
    ['that is garbage', () => 'hello', /a contact begins with 'fabric:'/],
    ['with a part missing', () => 'fabric:tcp', /fabric:family\/format\/address/],
    ['whose address is not base64url', (contact) => `${contact}!`, /not base64url/],
    ['whose address is empty', (contact) => contact.replace(/[^/]+$/, ''), /address/],
  ])('a contact %s is refused with the reason', async (_what, wrong, reason) => {
    const { a, b } = await openPair(provider);
    let error: unknown;
    try {
      a.peer(wrong(b.contact) as string);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'ERR_FABRIC_ADDRESS' });
    expect((error as Error).message).toMatch(reason);
  });

  test.each([[undefined], [42], [{}]])('a contact of a wrong type: %s', async (wrong) => {
    const { a } = await openPair(provider);
    expect(() => a.peer(wrong as never)).toThrow(/contact must be a contact string or a Uint8Array/);
  });
});

describeOnProviders('after break', { timeoutMs: 60_000 }, (provider) => {
  test('what arrives waits for the next recv() or messages()', async () => {
    const { a, b, toB } = await openPair(provider);
    const first: Message[] = [];
    const reading = (async () => {
      for await (const message of b.messages()) {
        first.push(message);
        break;
      }
    })();
    await a.send(toB, numbered(0));
    await reading;
    for (let number = 1; number <= 3; number++) await a.send(toB, numbered(number));
    expect(numberOf(await b.recv(64))).toBe(1);
    expect(numberOf(await b.recv(new Uint8Array(64)))).toBe(2);
    for await (const message of b.messages()) {
      expect(numberOf(message)).toBe(3);
      break;
    }
    const pending = b.recv(64);
    expect(await settledOf([pending])).toEqual([false]);
    await a.send(toB, numbered(4));
    expect(numberOf(await pending)).toBe(4);
  });
});
