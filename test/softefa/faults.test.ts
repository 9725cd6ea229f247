/** `libfabric/testing`: what goes wrong on software EFA devices because a test says so, and how programs see it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { explainProviderError } from 'libfabric/fi';
import { type SoftwareEfaDevice, softwareEfaDevices } from 'libfabric/testing';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { askProgram } from '../helpers/efa-programs.js';
import { onDevice, whyNoDevice } from '../helpers/softefa.js';

const reason = whyNoDevice();
/** Closes that have to be left to themselves say so; the provider's own messages are no answer. */
const quiet = { NODE_NO_WARNINGS: '1' };
const ask = <Answer>(rule: string, env: NodeJS.ProcessEnv = {}, argument = ''): Promise<Answer> =>
  askProgram<Answer>(['faults', rule, argument], { ...quiet, ...env });

/** All that EFA's devices say, but for RNR. */
const STATUSES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 18];
const RNR = 10;

describe
  .skipIf(reason !== undefined)
  .concurrent(`a device that is told to fail${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
    test('gives every error of the table, with its name, cause and remedy', async () => {
      const { failures, after } = await ask<{ failures: unknown[]; after: string }>(
        'statuses',
        {},
        JSON.stringify(STATUSES),
      );
      const expected = STATUSES.map((number) => {
        const { name, cause, remedy } = explainProviderError('efa', number)!;
        return expect.objectContaining({
          providerErrno: number,
          providerErrorName: name,
          cause,
          remedy,
        }) as unknown;
      });
      expect(failures).toEqual(expected);
      expect(after).toBe('sent');
    });

    test('without receive buffers is asked again by the provider', async () => {
      expect(await ask('statuses', {}, JSON.stringify([RNR]))).toEqual({ failures: ['sent'], after: 'sent' });
    });

    test('fails the nth operation, and those to a peer, until all is taken back', async () => {
      expect(await ask('chosen')).toEqual({
        five: ['sent', 'sent', 6, 6, 'sent'],
        toOthers: 'sent',
        toPeer: [7, 7],
        cleared: 'sent',
      });
    });

    test('loses what goes to a peer until it is mended: then all arrives', async () => {
      expect(await ask('mended')).toEqual(Array(3).fill(['TimeoutError', 16]));
    });

    test('takes a peer that stays cut off for unresponsive', async () => {
      expect(await ask('cut', { SOFTEFA_UNRESPONSIVE_MS: '700' })).toBe(13);
    });

    test('takes rules from the environment too', async () => {
      const rules = 'status=5 operation=send; status=2 nth=2';
      expect(await ask('environment', { SOFTEFA_FAIL: rules })).toEqual([5, 2]);
      const { code, stderr } = await onDevice(['true'], { SOFTEFA_FAIL: 'status=99' });
      expect(code).toBe(1);
      expect(stderr).toContain("SOFTEFA_FAIL: status is '99', not a number from 1 to 18");
    });
  });

describe('what is told to a device', () => {
  test('needs one', () => {
    vi.stubEnv('SOFTEFA_DIRECTORY', '');
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(() => softwareEfaDevices()).toThrow(
      expect.objectContaining({
        code: 'ERR_FABRIC_UNAVAILABLE',
        message: expect.stringContaining('libfabric softefa') as unknown,
      }),
    );
  });

  test('is checked before it is told, and an answer that does not come is an error', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'test-'));
    vi.stubEnv('SOFTEFA_DIRECTORY', folder);
    onTestFinished(() => {
      vi.unstubAllEnvs();
      rmSync(folder, { recursive: true });
    });
    for (const slot of [6, 7, 10]) writeFileSync(join(folder, `rdmap0s${slot}.control`), '');
    const devices = softwareEfaDevices();
    expect(devices.map(({ name }) => name)).toEqual(['rdmap0s6', 'rdmap0s7', 'rdmap0s10']);
    const device: SoftwareEfaDevice = devices[0];
    for (const wrong of [{ status: 0 }, { status: 19 }, { status: 1, nth: 0 }, { status: 1, count: -1 }])
      await expect(device.fail(wrong)).rejects.toThrow(RangeError);
    await expect(device.fail({ status: 1, operation: 'recv' as 'send' })).rejects.toThrow(/operation/);
    await expect(device.fail({ status: '1' as unknown as number })).rejects.toThrow(TypeError);
    await expect(device.cut(new Uint8Array(4))).rejects.toThrow(/EFA address/);
    await expect(device.setCable({ lossPerMillion: 1_000_001 })).rejects.toThrow(RangeError);
    await expect(device.setCable({ latencyMicroseconds: 0.5 })).rejects.toThrow(/^latencyMicroseconds must/);
    await expect(device.clear()).rejects.toMatchObject({
      code: 'ERR_FABRIC_UNAVAILABLE',
      message: expect.stringContaining('rdmap0s6 does not answer') as unknown,
    });
  });
});
