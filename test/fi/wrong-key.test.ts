/** Reads and writes with a key that no region of the peer has: whatever comes of them, they settle, and nobody crashes. */
import { expect, it } from 'vitest';
import { RemoteMemory, errnoName } from 'libfabric/fi';
import { openSides, pattern } from '../helpers/fi.js';
import { describeOnProviders } from '../helpers/providers.js';

const caps = ['FI_MSG', 'FI_RMA'];

// What the completion says, where the provider tells: docs/providers.md.
const readErrors: Partial<Record<string, string>> = {
  sockets: 'FI_EACCES',
  net: 'FI_ECANCELED',
  tcp: 'FI_ECANCELED',
  'tcp;ofi_rxm': 'FI_ECANCELED',
};
const writeErrors: Partial<Record<string, string>> = { sockets: 'FI_EACCES' };

describeOnProviders('a wrong key', {}, (provider) => {
  it.each([
    ['read', readErrors[provider.name]],
    ['write', writeErrors[provider.name]],
  ] as const)('ends a %s with %s, if that is told', async (call, told) => {
    const pair = await openSides(provider, { caps });
    const { a, b, toB } = pair;
    const memory = await a.memory(pattern(64));
    const { remote, memory: target } = await b.exposed(64);
    const wrong = new RemoteMemory(remote.key ^ 0x55n, remote.address, remote.length);
    await pair.post('the call', () => a.endpoint[call](memory, 0, 64, toB, wrong, 0));
    if (told !== undefined) {
      const { error, text } = await pair.completion(a, 0);
      expect(errnoName(error)).toBe(told);
      expect(text).not.toBe('');
      expect([...target.bytes]).toEqual([...new Uint8Array(target.bytes.length)]);
    }
    await a.endpoint.close();
    a.read();
    const { dropped } = a.endpoint;
    expect([...a.completed.map(({ context }) => context), ...dropped]).toEqual([0]);
  });
});
