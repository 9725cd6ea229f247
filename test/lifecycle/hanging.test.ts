/** An fi_close that never returns: close() does, and neither the process nor the other endpoints are held. */
import { expect, test } from 'vitest';
import { describeOnProviders } from '../helpers/providers.js';
import { CHILD_TEST_MS, runChild } from './child.js';
import type { Asked, End } from './programs/hanging.js';

const ends: readonly { end: End; code: number; stdout: string }[] = [
  { end: 'natural', code: 0, stdout: 'closed\n' },
  { end: 'exit', code: 7, stdout: 'closed\n' },
  { end: 'worker-natural', code: 0, stdout: 'closed\nworker 0\n' },
  { end: 'worker-exit', code: 0, stdout: 'worker 7\n' },
  { end: 'worker-terminate', code: 0, stdout: 'closed\nworker 1\n' },
];

describeOnProviders(
  'a close that hangs',
  {
    providers: ['udp;ofi_rxd'],
    timeoutMs: CHILD_TEST_MS,
  },
  () => {
    test.concurrent.each(ends)('holds neither close() nor the end by $end', async ({ end, code, stdout }) => {
      const asked: Asked = { end };
      const child = await runChild('hanging', asked);
      expect({ code: child.code, signal: child.signal, stdout: child.stdout }).toEqual({
        code,
        signal: null,
        stdout,
      });
      // The one warning, and Node's hint.
      const lines = child.stderr.trimEnd().split('\n');
      expect(lines.filter((line) => !line.startsWith('(Use `node --trace-warnings'))).toEqual([
        expect.stringMatching(
          /\[FABRIC_CLOSE\] FabricWarning: fi_close of the AddressVector did not return within 200 ms; it is left to itself$/,
        ),
      ]);
      // The endpoint beside it was closed by the end, as ever.
      expect(child.files).toEqual([]);
    });
  },
);
