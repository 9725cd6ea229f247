/** FI_RMA_EVENT: counters of the side whose memory a peer writes and reads. */
import { expect, it } from 'vitest';
import { Counter, FI_REMOTE_WRITE, getInfo } from 'libfabric/fi';
import { hintsFor, openSides, pattern, sameBytes } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

const caps = ['FI_MSG', 'FI_RMA', 'FI_RMA_EVENT'];

async function unless(provider: ProviderUnderTest): Promise<string | undefined> {
  if (provider.name === 'net' || provider.name === 'tcp') return 'it takes such a counter and counts nothing';
  const found = await getInfo(hintsFor(provider, caps)).catch(() => []);
  return found.some(({ provider: name }) => name === provider.name) ? undefined : 'it has no FI_RMA_EVENT';
}

describeOnProviders('counters of the target', { unless }, (provider) => {
  it('count the writes of a peer', async () => {
    const pair = await openSides(provider, { caps, counters: [FI_REMOTE_WRITE] });
    const { a, b, toB } = pair;
    const region = await b.exposed(64);
    const memory = await a.memory(pattern(64));
    for (let index = 0; index < 5; index++)
      await pair.post('a write', () => a.endpoint.write(memory, 0, 64, toB, region.remote, index));
    const [counter] = b.counters;
    await pair.until('the counter', () => counter.read() >= 5n);
    expect([counter.read(), counter.errors]).toEqual([5n, 0n]);
    expect(sameBytes(region.memory.bytes.subarray(0, 64), pattern(64))).toBe(true);
    // Those of the side that writes are counted by FI_WRITE.
    expect(a.counters[0].read()).toBe(0n);
    await pair.until('the completions', () => a.completed.length === 5);
    expect(b.completed).toEqual([]);
  });

  it('of one region count what is written there, or are refused', async () => {
    const pair = await openSides(provider, { caps });
    const { a, b, toB } = pair;
    const [first, second] = [await b.exposed(64), await b.exposed(64)];
    await using counter = await Counter.open(b.domain);
    if (provider.name !== 'sockets') {
      expect(() => {
        first.bind(counter, FI_REMOTE_WRITE);
      }).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED', call: 'fi_mr_bind' }));
      return;
    }
    first.bind(counter, FI_REMOTE_WRITE);
    await expect(counter.close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
    const memory = await a.memory(pattern(64));
    for (const [index, { remote }] of [second, first, second, first].entries())
      await pair.post('a write', () => a.endpoint.write(memory, 0, 64, toB, remote, index));
    await pair.until('the completions', () => a.completed.length === 4);
    await pair.until('the counter', () => counter.read() >= 2n);
    expect(counter.read()).toBe(2n);
    await first.close();
  });
});
