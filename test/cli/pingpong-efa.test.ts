/** `libfabric pingpong` against libfabric's own fi_pingpong over its own efa provider, on the software EFA device. */
import { describe, expect, test } from 'vitest';
import { libraryVersion } from 'libfabric/fi';
import { expectTable, onDevice, ours, theirs } from '../helpers/pingpong.js';
import { whyNoDevice } from '../helpers/softefa.js';

const reason = whyNoDevice();
const roles = [
  ['as the server', { server: onDevice(ours), client: onDevice(theirs) }],
  ['as the client', { server: onDevice(theirs), client: onDevice(ours) }],
] as const;
const [upTo4k, upTo1m] = [
  ['64', '256', '1k', '4k'],
  ['64', '256', '1k', '4k', '64k', '1m'],
];

describe.skipIf(reason !== undefined)(
  `pingpong with fi_pingpong over efa${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    // libfabric 2.1 has two fabrics, and its fi_pingpong an option to name one of them.
    const fabrics =
      reason === undefined && libraryVersion().version >= 0x20001 ? ['efa', 'efa-direct'] : ['efa'];
    const args = (fabric: string, ...more: string[]): string[] => [
      ...['-p', 'efa', '-c', ...more],
      ...(fabrics.length > 1 ? ['-f', fabric] : []),
    ];

    describe.each(roles)('%s', (_, pair) => {
      test('reliable datagrams of many sizes', async () => {
        expect(await expectTable({ ...pair, args: args('efa', '-e', 'rdm') })).toEqual(upTo1m);
      });

      test('reliable datagrams of efa-direct', async (context) => {
        context.skip(!fabrics.includes('efa-direct'), 'efa-direct came with libfabric 2.1');
        expect(await expectTable({ ...pair, args: args('efa-direct', '-e', 'rdm') })).toEqual(upTo4k);
      });

      test('tagged messages', async () => {
        const more = ['-e', 'rdm', '-m', 'tagged', '-S', '4096', '-I', '100'];
        expect(await expectTable({ ...pair, args: args('efa', ...more) })).toEqual(['4k']);
      });

      test('datagrams, which have a prefix', async () => {
        expect(await expectTable({ ...pair, args: ['-p', 'efa', '-c', '-e', 'dgram'] })).toEqual(upTo4k);
      });
    });
  },
);
