/** What software EFA devices have to do with their machine: its networks, its real devices, the places on its buses. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ProgramRun } from '../helpers/program.js';
import { onDevice, whyNoDevice } from '../helpers/softefa.js';

const reason = whyNoDevice();

/** Why a namespace cannot be made here, or what is needed in it is missing; undefined: it can. */
function whyNot(kind: '--net' | '--mount', ...needed: readonly string[]): string | undefined {
  const { error, status, stderr } = spawnSync('unshare', [kind, ...needed], { encoding: 'utf8' });
  if (error !== undefined) return `unshare cannot be run: ${error.message}`;
  return status === 0 ? undefined : `no namespace of its own, or not with ${needed[0]}: ${stderr.trim()}`;
}

describe
  .skipIf(reason !== undefined)
  .concurrent(`a machine${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
    const listening = async (env: NodeJS.ProcessEnv): Promise<unknown> => {
      const { code, stdout } = await onDevice(['node', 'out/test/softefa/programs/listening.js'], env);
      expect(code).toBe(0);
      return JSON.parse(stdout);
    };

    test('hears nothing beyond loopback from it unless told to', async () => {
      // 127.0.0.1, then 0.0.0.0, as the kernel writes them.
      expect(await listening({ SOFTEFA_DEVICES: '2' })).toEqual(['udp 0100007F', 'udp 0100007F']);
      expect(await listening({ SOFTEFA_ADDRESS: '0.0.0.0' })).toEqual(['udp 00000000']);
    });

    test('has four devices, half of them near each of its processors', async () => {
      const places = `for place in "$SYSFS_PATH"/bus/pci/devices/*; do
          echo "\${place##*/}" $(cat "$place/vendor" "$place/numa_node")
        done
        fi_info -v -p efa -t FI_EP_DGRAM`;
      const { code, stdout } = await onDevice(['sh', '-c', places], { SOFTEFA_DEVICES: '4' });
      expect(code).toBe(0);
      expect(stdout.split('\n').slice(0, 4)).toEqual([
        '0000:00:06.0 0x1d0f 0',
        '0000:00:07.0 0x1d0f 0',
        '0000:00:08.0 0x1d0f 1',
        '0000:00:09.0 0x1d0f 1',
      ]);
      const attributes = [...stdout.matchAll(/fi_pci_attr:((?:\s+\w+_id: \d+){4})/g)].map(([, text]) =>
        [...text.matchAll(/\d+/g)].map(Number),
      );
      expect(attributes).toEqual([6, 7, 8, 9].map((slot) => [0, 0, slot, 0]));
    });

    test('with RDMA devices of its own keeps them to itself, unless forced', async (context) => {
      const missing = whyNot('--mount', 'true');
      if (missing !== undefined) context.skip(missing);
      const program = `mount -t tmpfs tmpfs /sys/class && mkdir -p /sys/class/infiniband/mlx5_0 || exit 9
        node dist/cli/main.js softefa -- echo ran || echo "refused $?"
        node dist/cli/main.js softefa --force -- echo ran`;
      const { code, stdout, stderr } = await new ProgramRun(['unshare', '--mount', 'sh', '-c', program])
        .ended;
      expect({ code, stdout }).toEqual({ code: 0, stdout: 'refused 1\nran\n' });
      expect(stderr).toContain('this machine has RDMA devices (mlx5_0): with --force they are left unused');
    });

    test('reaches another over a network, with nothing but addresses to configure', async (context) => {
      const missing = whyNot('--net', 'ip', 'link', 'add', 'cable', 'type', 'veth');
      if (missing !== undefined) context.skip(missing);
      const folder = mkdtempSync(join(tmpdir(), 'test-'));
      context.onTestFinished(() => rmSync(folder, { recursive: true }));
      const script = 'test/softefa/programs/two-namespaces.sh';
      const ended = await new ProgramRun(['unshare', '--net', 'sh', script, folder]).ended;
      expect(ended).toMatchObject({ code: 0, stdout: 'hello yourself\n', stderr: '' });
    });
  });
