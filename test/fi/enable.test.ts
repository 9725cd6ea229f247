import { expect, it } from 'vitest';
import { AddressVector, CompletionQueue, Counter, EventQueue } from 'libfabric/fi';
import { openSide } from '../helpers/fi.js';
import { describeOnProviders } from '../helpers/providers.js';

const closed = expect.objectContaining({ name: 'FabricError', code: 'ERR_FABRIC_CLOSED' });

describeOnProviders('enable', {}, (provider) => {
  it('is refused where the endpoint is closed meanwhile', async () => {
    const seen: { enabling?: Promise<void>; closing?: Promise<void> } = {};
    await expect(
      openSide(provider, {
        prepare(endpoint) {
          // Which shm takes only once the endpoint is enabled.
          if (provider.name === 'shm') endpoint.setOpt('FI_OPT_MIN_MULTI_RECV', 64);
          seen.enabling = endpoint.enable();
          seen.enabling.catch(() => undefined);
          seen.closing = endpoint.close();
        },
      }),
    ).rejects.toThrow(closed);
    await expect(seen.enabling).rejects.toThrow(closed);
    await seen.closing;
  });
});

describeOnProviders('bind', {}, (provider) => {
  it('takes nothing of another Domain, nor an EventQueue of another Fabric', async () => {
    const { domain, fabric } = await openSide(provider);
    const other = await openSide(provider);
    const { endpoint } = other;
    await using counter = await Counter.open(domain);
    await using addresses = await AddressVector.open(domain);
    await using queue = await CompletionQueue.open(domain);
    await using events = await EventQueue.open(fabric);
    for (const foreign of [counter, addresses, queue, events])
      expect(() => {
        endpoint.bind(foreign);
      }).toThrow(RangeError);
  });
});
