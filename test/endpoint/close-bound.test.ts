// The bound of close(): what could not be sent rejects, and all memory comes back.
import { expect, test } from 'vitest';
import { range, rejection } from '../helpers/everyday.js';
import { describeOnProviders, openPair } from '../helpers/providers.js';

describeOnProviders('the bound of close()', {}, (provider) => {
  test('rejects what could not be sent, and gives back its memory', async (context) => {
    const { a, b, toB } = await openPair(provider);
    // sockets reports the connection that broke off in the midst of a message.
    b.removeAllListeners('error').on('error', () => undefined);
    const lease = a.memory.alloc(Math.min(1 << 20, a.limits.maxMessageSize));
    const sends = range(100).map(() => a.send(toB, lease));
    const outcomes = Promise.allSettled(sends);
    const receives = range(3).map(() => a.recv(lease.length));
    const receiving = Promise.all(receives.map(rejection));
    await a.close({ timeoutMs: 0 });
    const rejected = (await outcomes).flatMap((outcome) =>
      outcome.status === 'rejected' ? [outcome.reason as Error & { released?: Promise<void> }] : [],
    );
    for (const error of await receiving) {
      expect(error).toHaveProperty('code', 'ERR_FABRIC_CLOSED');
      await error.released;
    }
    for (const error of rejected) {
      expect(error).toHaveProperty('code', 'ERR_FABRIC_CLOSED');
      await error.released;
    }
    await b.close({ timeoutMs: 100 });
    if (rejected.length === 0) context.skip(`${provider.name} took everything`);
  });
});
