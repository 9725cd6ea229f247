import { expect, it } from 'vitest';
import { Domain, Fabric } from 'libfabric/fi';
import { infoFor } from '../helpers/fi.js';
import { describeOnProviders } from '../helpers/providers.js';

describeOnProviders(
  'domains that open and close at the same time',
  { providers: ['efa'], timeoutMs: 60_000 },
  (provider) => {
    // efa links all domains of the process in a list that no lock guards, up to libfabric 2.1 at least: two that closed at
    // once wrote into each other's freed memory, and the process died of it later, anywhere.
    it('do not get into each other', async () => {
      const info = await infoFor(provider);
      await using fabric = await Fabric.open(info);
      for (let round = 0; round < 200; round++) {
        const opened = await Promise.all(Array.from({ length: 8 }, () => Domain.open(fabric, info)));
        await Promise.all(opened.map((domain) => domain.close()));
        expect(opened.map((domain) => domain.closed)).toEqual(opened.map(() => true));
      }
    });
  },
);
