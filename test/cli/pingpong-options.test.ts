/** The command line of `libfabric pingpong`, its sizes and its table. */
import { describe, expect, test } from 'vitest';
import { sizesOf } from '../../src/cli/pingpong.js';
import { parseOptions } from '../../src/cli/pingpong-options.js';
import { Pattern } from '../../src/cli/pingpong-pattern.js';
import { resultLine } from '../../src/cli/pingpong-report.js';
import { CommandRun, freePort } from '../helpers/softefa.js';

describe('the command line', () => {
  test('without options is that of fi_pingpong', () => {
    expect(parseOptions([])).toMatchObject({
      ...{ endpoint: 'dgram', mode: 'msg', iterations: 10, size: 'usual', check: false },
      ...{ provider: undefined, domain: undefined, server: undefined },
      ...{ sourcePort: undefined, destinationPort: 47592, ipv6: false, verbose: false },
    });
  });

  test('takes every option of fi_pingpong, as it does', () => {
    const line = '-p tcp -e RDM -m tagged -I 7 -S All -cv6 -d eth0 -f efa -s 192.0.2.1 -B 5 -P6 host';
    expect(parseOptions(line.split(' '))).toEqual({
      ...{ provider: 'tcp', endpoint: 'rdm', mode: 'tagged', iterations: 7, size: 'all', check: true },
      ...{ domain: 'eth0', fabric: 'efa', source: '192.0.2.1', sourcePort: 5, destinationPort: 6 },
      ...{ ipv6: true, verbose: true, server: 'host' },
    });
    expect(parseOptions(['--size', '12', '--provider=tcp;ofi_rxm'])).toMatchObject({ size: 12 });
    expect(parseOptions(['-p', 'shm', '--help'])).toBeUndefined();
  });

  test.each([
    [['-e', 'stream'], "-e (--endpoint) is 'stream', not rdm, msg, dgram"],
    [['-e', 'rdm', '-m', 'words'], "-m (--mode) is 'words', not msg, tagged"],
    [['-m', 'tagged'], 'endpoints of type dgram have no tagged messages'],
    [['-I', '-1'], "'-I"],
    [['-I', '1.5'], "-I (--iterations) is '1.5', not a whole number from 0 to 2147483647"],
    [['-S', '2147483648'], "-S (--size) is '2147483648', not a whole number from 0 to 2147483647"],
    [['-S', 'big'], "-S (--size) is 'big'"],
    [['-B', '0'], "-B (--source-port) is '0', not a whole number from 1 to 65535"],
    [['-P', '65536'], "-P (--destination-port) is '65536'"],
    [['-p', ''], '-p (--provider) is empty'],
    [['-z'], "'-z'"],
    [['here', 'there'], "'there' is one address too many"],
  ])('%j is refused', (args, message) => {
    expect(() => parseOptions(args)).toThrow(
      expect.objectContaining({ message: expect.stringContaining(message) }),
    );
  });

  test('that is wrong ends with status 2 and the usage', async () => {
    const { code, stdout, stderr } = await new CommandRun(['pingpong', '-S', 'big']).ended;
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain("libfabric: -S (--size) is 'big'");
    expect(stderr).toContain('usage: libfabric pingpong');
  });

  test('asks for help', async () => {
    const { code, stdout } = await new CommandRun(['pingpong', '-h']).ended;
    expect(code).toBe(0);
    expect(stdout).toContain('usage: libfabric pingpong');
  });

  test('names a server that is not there', async () => {
    const port = String(await freePort());
    const { code, stderr } = await new CommandRun(['pingpong', '-P', port, '127.0.0.1']).ended;
    expect(code).toBe(1);
    expect(stderr).toContain(`no server at 127.0.0.1, port ${port}: connect ECONNREFUSED`);
  });
});

test('the sizes are those of fi_pingpong', () => {
  expect(sizesOf({ size: 'usual' }, 1472)).toEqual([64, 256, 1024]);
  expect(sizesOf({ size: 'all' }, 12)).toEqual([0, 1, 2, 3, 4, 6, 8, 12]);
  expect(sizesOf({ size: 'all' }, 11)).toEqual([0, 1, 2, 3, 4, 6, 8]);
  expect(sizesOf({ size: 100 }, 1472)).toEqual([100]);
});

test('the table is that of fi_pingpong', () => {
  expect(resultLine({ size: 64, sent: 10, acknowledged: 10, microseconds: 1292 })).toBe(
    '64      10      =10      1.2k        0.00s      0.99      64.60       0.02',
  );
  expect(resultLine({ size: 1536, sent: 2_500_000, acknowledged: 1, microseconds: 5e6 })).toBe(
    '1.5k    2m      +2m      7.1g        5.00s   1536.00       1.00       1.00',
  );
});

describe('the pattern', () => {
  test('begins elsewhere in each message', () => {
    const pattern = new Pattern();
    const bytes = new Uint8Array(70);
    const texts = Array.from({ length: 3 }, () => {
      pattern.fill(bytes);
      return Buffer.from(bytes).toString('latin1');
    });
    const alphabet = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'.repeat(3);
    expect(texts).toEqual([0, 7, 14].map((start) => alphabet.slice(start, start + 70)));
  });

  test.each([0, 1, 100_000, 199_999])('knows a byte that differs, number %i', (at) => {
    const bytes = new Uint8Array(200_000);
    new Pattern().fill(bytes);
    new Pattern().check(bytes);
    bytes[at] ^= 1;
    expect(() => {
      new Pattern().check(bytes);
    }).toThrow(`byte ${at} of 200000 of message 1`);
  });
});
