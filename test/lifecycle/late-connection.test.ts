/** Whoever connects to an endpoint that closes must not be told to it: net and tcp would look at freed memory. */
import { expect, test } from 'vitest';
import { describeOnProviders, openOptions } from '../helpers/providers.js';
import { CHILD_TEST_MS, runChild } from './child.js';

describeOnProviders('an endpoint to which somebody connects', { timeoutMs: CHILD_TEST_MS }, (provider) => {
  test('can close, and its queue be read, while that goes on', async () => {
    // What was freed is overwritten, so that looking there does not go well by chance.
    const env = { MALLOC_PERTURB_: '165' };
    const { code, signal, stdout, stderr } = await runChild('late-connection', openOptions(provider), {
      env,
    });
    expect({ code, signal, stdout, stderr }).toEqual({
      code: 0,
      signal: null,
      stdout: 'alive\n',
      stderr: '',
    });
  });
});
