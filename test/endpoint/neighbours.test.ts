// Two endpoints of one process: one closes while the other still has something of it to read. shm maps such a peer only
// once, for both.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { numbered, numberOf, range, until } from '../helpers/everyday.js';
import { describeOnProviders, openOne, openPair } from '../helpers/providers.js';

describeOnProviders('an endpoint that closes before its neighbour', {}, (provider) => {
  // Repeated, as it takes a queue that is not empty at the right moment.
  test('does no harm to one that still has answers of it to read', async () => {
    const { a } = await openPair(provider);
    const length = Math.min(60_000, a.limits.maxMessageSize);
    for (const round of range(20)) {
      const b = await openOne(provider);
      const toB = a.peer(b.contact);
      const received = range(8).map(() => b.recv(length));
      const sent = range(8).map((number) => a.send(toB, numbered(number, length)));
      const got = (await Promise.all(received)).map(numberOf);
      expect(provider.isBare ? got.sort() : got).toEqual(range(8));
      await b.close();
      for (const one of sent) await one;
      toB.close();
      a.poll();
      expect(a.stats().messagesSent).toBe(8 * (round + 1));
    }
  });

  test('does no harm to one that has not read its messages yet', async (context) => {
    if (provider.isBare) context.skip('nothing takes a message that comes before a receive is posted');
    const { a, b, toB } = await openPair(provider);
    const third = await openOne(provider);
    const toThird = a.peer(third.contact);
    for (const number of range(20)) {
      await a.send(toB, numbered(number, 100));
      await a.send(toThird, numbered(number, 100));
    }
    await a.close();
    for (const number of range(20)) {
      expect(numberOf(await b.recv(100))).toBe(number);
      expect(numberOf(await third.recv(100))).toBe(number);
    }
  });

  test('sends to it end by their deadline', async () => {
    const { a, b, toB } = await openPair(provider);
    const length = Math.min(50_000, a.limits.maxMessageSize);
    const received = b.recv(100);
    await a.send(toB, numbered(1, 100));
    await received;
    await b.close();
    // A message that was accepted for the connection that breaks off is reported.
    a.removeAllListeners('error').on('error', () => undefined);
    const outcomes = await Promise.allSettled(
      range(50).map((number) => a.send(toB, numbered(number, length), { timeoutMs: 200 })),
    );
    expect(outcomes.length).toBe(50);
    toB.close();
    await until(() => a.stats().sendsWaiting === 0);
    await a.close({ timeoutMs: 100 });
  });
});

// efa of libfabric 1.17 would bring shm, and crash in it.
describeOnProviders('an endpoint without shared memory', { providers: ['efa'] }, (provider) => {
  test('reads the first message of a neighbour that has closed meanwhile', async () => {
    for (const number of range(5)) {
      const { a, b } = await openPair(provider);
      const third = await openOne(provider, { progress: 'inline' });
      await a.send(a.peer(third.contact), numbered(number, 100));
      await Promise.all([a.close(), b.close()]);
      expect(numberOf(await third.recv(100))).toBe(number);
    }
  });

  test('has no file of shared memory', async () => {
    await openPair(provider);
    // A file's name would begin with the GID.
    expect(readFileSync('/proc/self/maps', 'utf8')).not.toMatch(/ \/dev\/shm\/fe80:/);
  });
});
