/** RDMA reads and writes that the software EFA device's NIC serves by itself. */
import { describe, expect, test } from 'vitest';
import { askProgram, hasDirect } from '../helpers/efa-programs.js';
import { onDevice, whyNoDevice } from '../helpers/softefa.js';

const reason = whyNoDevice();
const env = { SOFTEFA_RDMA: '1' };

describe.skipIf(reason !== undefined)(
  `device RDMA${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    test('is there where it is asked for', async () => {
      const { stdout, stderr } = await onDevice(['fi_info', '-p', 'efa', '-v'], env);
      expect(stderr).toBe('');
      expect(stdout).toContain('0xefa1');
      const without = await onDevice(['fi_info', '-p', 'efa', '-v'], { SOFTEFA_RDMA: '' });
      expect(without.stdout).toContain('0xefa0');
    });

    test('serves efa-direct, and refuses what a key does not allow', async (context) => {
      if (!hasDirect) context.skip('this libfabric has no fabric efa-direct, which came with 2.1');
      expect(await askProgram(['direct', ''], env)).toEqual({
        fabric: 'efa-direct',
        written: 'done',
        read: 'done',
        // EFA's code for an address that the key does not cover.
        refused: 'provider error 7',
        same: true,
      });
    });
  },
);
