import { expect, it } from 'vitest';
import { FI_VAR_UNEXP_MSG_CNT, Profile } from 'libfabric/fi';
import { openSide } from '../helpers/fi.js';
import { describeOnProviders } from '../helpers/providers.js';

const closed = expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' });

describeOnProviders('profiles', {}, (provider) => {
  it('of endpoints and domains count, or are refused', async () => {
    const { domain, endpoint } = await openSide(provider);
    for (const of of [domain, endpoint]) {
      let refusal: unknown;
      const profile = await Profile.open(of).catch((error: unknown) => {
        refusal = error;
      });
      if (!profile) {
        expect(refusal).toMatchObject({ code: 'ERR_FABRIC_UNSUPPORTED', call: 'fi_profile_open' });
        continue;
      }
      // A libfabric that was built with them: none that the tests are run with has been.
      expect(profile.variables().map(({ id }) => id)).toContain(FI_VAR_UNEXP_MSG_CNT);
      profile.startReads();
      expect(profile.readU64('FI_VAR_UNEXP_MSG_CNT')).toBe(0n);
      profile.endReads();
      profile.reset();
      expect(profile.readU64('FI_VAR_UNEXP_MSG_CNT')).toBe(0n);
      await profile.close();
      expect(() => profile.events()).toThrow(closed);
    }
  });

  it('are of nothing else', async () => {
    const side = await openSide(provider);
    for (const wrong of [undefined, null, {}, side.queue, side.fabric])
      await expect(Profile.open(wrong as never)).rejects.toThrow(TypeError);
    await expect(Profile.open(side.domain, -1n)).rejects.toThrow(RangeError);
  });
});
