/** The command `libfabric softefa`: what it is told, what it starts, and what it leaves behind. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CommandRun, onDevice, whyNoDevice } from '../helpers/softefa.js';

describe('the command line', () => {
  test.each([
    [['softefa'], "'-- COMMAND' is missing"],
    [['softefa', 'fi_info'], 'fi_info'],
    [['softefa', '--devices', '0', '--', 'true'], "'0', not 1 to 16"],
    [['softefa', '--devices', 'many', '--', 'true'], "'many', not 1 to 16"],
    [['softefa', '--nonsense', '--', 'true'], '--nonsense'],
    [['nonsense'], "no subcommand 'nonsense'"],
    [[], 'a subcommand is missing'],
  ])('%j is refused with the usage', async (args, reason) => {
    const { code, stdout, stderr } = await new CommandRun(args).ended;
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain(reason);
    expect(stderr).toContain('usage: libfabric softefa');
  });

  test.each([['--help'], ['softefa', '--help']])('%s explains itself', async (...args) => {
    const { code, stdout } = await new CommandRun(args).ended;
    expect(code).toBe(0);
    expect(stdout).toContain('usage: libfabric softefa');
  });
});

const reason = whyNoDevice();

describe.skipIf(reason !== undefined)(
  `the device${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    test('ends as its command does', async () => {
      expect((await onDevice(['sh', '-c', 'exit 7'])).code).toBe(7);
      expect((await onDevice(['sh', '-c', 'kill -KILL $$'])).code).toBe(128 + 9);
    });

    test('says that a command cannot be started', async () => {
      const { code, stderr } = await onDevice(['no-such-program']);
      expect(code).toBe(1);
      expect(stderr).toContain('no-such-program could not be started');
    });

    test('leaves nothing behind', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'test-'));
      onTestFinished(() => rmSync(folder, { recursive: true }));
      const { code, stdout } = await onDevice(['sh', '-c', 'ls "$SOFTEFA_DIRECTORY"'], { TMPDIR: folder });
      expect(code).toBe(0);
      expect(stdout).toContain('rdmap0s6.sock');
      expect(readdirSync(folder)).toEqual([]);
    });

    test('ends its NICs although they are stopped', async () => {
      const stop = `for process in /proc/[0-9]*; do
        tr '\\0' ' ' <$process/cmdline 2>/dev/null | grep -q "softefa-nic $SOFTEFA_DIRECTORY" &&
          kill -STOP \${process#/proc/} && echo stopped
      done
      exit 0`;
      const { code, stdout } = await onDevice(['sh', '-c', stop]);
      expect({ code, stdout }).toEqual({ code: 0, stdout: 'stopped\n' });
    });

    test('lists RDM and DGRAM endpoints of the efa provider', async () => {
      const { code, stdout, stderr } = await onDevice(['fi_info', '-p', 'efa']);
      expect(stderr).toBe('');
      expect(code).toBe(0);
      expect(stdout).toContain('fabric: efa\n');
      expect(stdout).toContain('domain: rdmap0s6-rdm');
      expect(stdout).toContain('domain: rdmap0s6-dgrm');
    });

    test('leaves the other providers alone', async () => {
      // Among them verbs, where libfabric has it (Debian 13), which looks at every device of libibverbs.
      const { code, signal, stdout } = await onDevice(['fi_info']);
      expect({ code, signal }).toEqual({ code: 0, signal: null });
      expect(stdout).toContain('provider: efa');
      expect(stdout).toContain('provider: shm');
      expect(stdout).not.toContain('provider: verbs');
    });

    test('has as many devices as it is told, in their order, with an address and a PCI place each', async () => {
      const run = new CommandRun([
        'softefa',
        '--devices',
        '5',
        '--',
        'fi_info',
        '-v',
        '-p',
        'efa',
        '-t',
        'FI_EP_DGRAM',
      ]);
      const { code, stdout } = await run.ended;
      expect(code).toBe(0);
      const all = (pattern: RegExp): string[] => [...stdout.matchAll(pattern)].map((match) => match[1]);
      expect(all(/^ +name: (rdmap0s\d+)-dgrm$/gm)).toEqual([6, 7, 8, 9, 10].map((slot) => `rdmap0s${slot}`));
      expect(new Set(all(/^ +src_addr: (.*)$/gm)).size).toBe(5);
      expect(all(/^ +device_id: +(0x[0-9a-f]+)$/gm)).toEqual(Array(5).fill('0xefa0'));
    });

    test('counts what its NICs do, as hw_counters of sysfs', async () => {
      const folder = '"$SYSFS_PATH/class/infiniband/rdmap0s6/ports/1/hw_counters"';
      // The files are written now and then: until they say that the message is there, of which the test's bound is the judge.
      const program = `node out/test/softefa/programs/faults.js statuses '[]' || exit 1
        until [ "$(cat ${folder}/send_bytes)" -ge 32 ]; do :; done
        cd ${folder} && for name in *; do echo "$name $(cat $name)"; done`;
      const run = new CommandRun(['softefa', '--devices', '2', '--', 'sh', '-c', program]);
      const { code, stdout } = await run.ended;
      expect(code).toBe(0);
      const counters = new Map(
        [...stdout.matchAll(/^(\w+) (\d+)$/gm)].map(([, name, value]) => [name, Number(value)] as const),
      );
      for (const name of ['tx_bytes', 'tx_pkts', 'rx_bytes', 'rx_pkts', 'send_wrs', 'recv_wrs', 'recv_bytes'])
        expect([name, counters.get(name)]).toEqual([name, expect.toSatisfy((value) => Number(value) > 0)]);
      for (const name of ['rx_drops', 'rdma_read_wrs', 'rdma_write_wrs', 'unresponsive_remote_events'])
        expect([name, counters.get(name)]).toEqual([name, 0]);
    });

    test('refuses settings that are no numbers', async () => {
      const { code, stderr } = await onDevice(['true'], { SOFTEFA_LATENCY_US: 'long' });
      expect(code).toBe(1);
      expect(stderr).toContain("SOFTEFA_LATENCY_US is 'long', not a number");
      expect(stderr).toContain('a NIC could not be started');
    });
  },
);
