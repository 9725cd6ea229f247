import { expect, it } from 'vitest';
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
