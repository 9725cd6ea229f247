/**
 * What the binding does so that EFA works and never ends the process, each rule on libfabric's own efa provider. Every
 * test runs a program on a software EFA device of its own.
 */
import { FI_CONTEXT, FI_CONTEXT2, FI_LOCAL_COMM, FI_REMOTE_COMM } from 'libfabric/fi';
import { describe, expect, test } from 'vitest';
import { providerNamed } from '../../src/endpoint/providers.js';
import { hintsFor } from '../../src/endpoint/selection.js';
import { askProgram, fabrics, isSince, runProgram } from '../helpers/efa-programs.js';
import { whyNoDevice } from '../helpers/softefa.js';

const reason = whyNoDevice();

/** Every variable that is refused for being there, or for its value. */
const dangerous = {
  FI_EFA_MTU_SIZE: '8192',
  FI_EFA_TX_IOV_LIMIT: '1',
  FI_EFA_RX_IOV_LIMIT: '',
  FI_EFA_SHM_MAX_MEDIUM_SIZE: '4096',
  FI_EFA_TX_MIN_CREDITS: '0',
  FI_EFA_IFACE: '',
  FI_EFA_USE_DEVICE_RDMA: 'perhaps',
};

interface Refusal {
  code: string;
  message: string;
}
interface Refused {
  getInfo: Refusal;
  open: Refusal;
}

/** Closes that have to be left to themselves say so. */
const quiet = { NODE_NO_WARNINGS: '1' };

const ask = <Answer>(rule: string, env: NodeJS.ProcessEnv = {}, argument = ''): Promise<Answer> =>
  askProgram<Answer>(['rules', rule, argument], env);

describe
  .skipIf(reason !== undefined)
  .concurrent(`rules of EFA${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
    test.each([
      ['FI_EFA_MTU_SIZE', ''],
      ['FI_EFA_TX_MIN_CREDITS', '-1'],
      ['FI_EFA_TX_MIN_CREDITS', 'many'],
      ['FI_EFA_IFACE', ''],
      ['FI_EFA_USE_DEVICE_RDMA', 'perhaps'],
      // The software device has RDMA only where it is told so.
      ['FI_EFA_USE_DEVICE_RDMA', 'yes'],
    ])(
      "the dangerous variable %s='%s' is refused before the first call, never an abort",
      async (name, value) => {
        const { getInfo, open } = await ask<Refused>('environment', { [name]: value });
        expect(getInfo.code).toBe('ERR_FABRIC_ENVIRONMENT');
        expect(getInfo.message).toContain(name);
        expect(getInfo.message).toContain(`Unset ${name}`);
        expect(open).toEqual(getInfo);
      },
    );

    test('all dangerous variables are named at once, before the first call, never an abort', async () => {
      const { open } = await ask<Refused>('environment', dangerous);
      expect(open.code).toBe('ERR_FABRIC_ENVIRONMENT');
      for (const name of Object.keys(dangerous)) expect(open.message).toContain(name);
    });

    test('harmless values of these variables are taken', async () => {
      const answer = await ask('environment', {
        FI_EFA_TX_MIN_CREDITS: '0x20',
        FI_EFA_IFACE: 'all',
        FI_EFA_USE_DEVICE_RDMA: 'off',
        FI_EFA_USE_HUGE_PAGE: '0',
      });
      expect(answer).toEqual({ getInfo: 'fine', open: 'fine' });
    });

    test('a fork (child_process.spawn) survives', async () => {
      for (const unsafe of ['', '0'])
        expect(await ask('fork', { SOFTEFA_FORK_UNSAFE: unsafe })).toEqual({
          messages: ['before', 'after'],
          needsSupport: false,
        });
    });

    test('a fork survives where the kernel leaves registered memory to the provider', async () => {
      expect(await ask('fork', { SOFTEFA_FORK_UNSAFE: '1' })).toEqual({
        messages: ['before', 'after'],
        needsSupport: true,
      });
      // What would have happened.
      const { code, stderr } = await runProgram(['rules', 'fork'], {
        SOFTEFA_FORK_UNSAFE: '1',
        FI_EFA_FORK_SAFE: '0',
      });
      expect(code).toBe(128 + 6);
      expect(stderr).toContain('FI_EFA_FORK_SAFE');
    });

    test('huge pages are refused where child processes need the pages guarded', async () => {
      const { open } = await ask<Refused>('environment', {
        SOFTEFA_FORK_UNSAFE: '1',
        FI_EFA_USE_HUGE_PAGE: '1',
      });
      expect(open.code).toBe('ERR_FABRIC_ENVIRONMENT');
      expect(open.message).toContain('FI_EFA_USE_HUGE_PAGE');
    });

    test('shm inside EFA is off: messages to this host cross the NIC, and no signal handler comes', async () => {
      interface Answer {
        mapped: number;
        arrived: number | string;
        handlers: { before: string; after: string };
      }
      // As long as it takes, of which the test's bound is the judge.
      const answer = await ask<Answer>('sharedMemory', quiet, '30000');
      expect(answer.arrived).toBe(5);
      expect(answer.handlers.after).toBe(answer.handlers.before);
      // libfabric 1.17 opens it whatever is asked for, and then leaves it alone.
      if (isSince(2, 0)) expect(answer.mapped).toBe(0);
      const lost = { SOFTEFA_LOSS_PER_MILLION: '1000000', ...quiet };
      const { arrived } = await ask<Answer>('sharedMemory', lost, '500');
      expect(arrived).toBe('TimeoutError');
    });

    test('the fabric is chosen by name', async () => {
      const { listed, fabric } = await ask<{ listed: string[]; fabric: string }>('fabric');
      expect([...listed].sort()).toEqual(fabrics);
      expect(fabric).toBe('efa');
    });

    test('wait objects are asked for by version, and done without', async () => {
      interface Answer {
        granted: Record<string, string>;
        exchanged: string;
      }
      const answer = await ask<Answer>('waitObjects');
      expect(answer.exchanged).toBe('there');
      expect(answer.granted.FI_WAIT_NONE).toBe('FI_WAIT_NONE');
      if (!isSince(2, 3)) {
        expect(answer.granted.FI_WAIT_FD).toBe('FI_ENOSYS');
        expect(answer.granted.FI_WAIT_UNSPEC).toBe('FI_ENOSYS');
      }
    });

    test('addresses are inserted one at a time from a private copy', async () => {
      interface Answer {
        inserted: number[];
        alone: string;
        unchanged: boolean;
      }
      const { inserted, alone, unchanged } = await ask<Answer>('addresses');
      expect(inserted[0]).toBeGreaterThanOrEqual(0);
      expect(inserted[1]).toBeLessThan(0);
      expect(inserted[2]).toBeGreaterThanOrEqual(0);
      expect(inserted[2]).not.toBe(inserted[0]);
      expect(alone).toBe('FI_EADDRNOTAVAIL');
      expect(unchanged).toBe(true);
    });
  });

describe('what is asked of fi_getinfo for efa', () => {
  const efa = providerNamed('efa');

  test('ordering is asked for in both tx and rx attributes', () => {
    expect(hintsFor(efa, {})).toMatchObject({
      transmit: { messageOrder: ['FI_ORDER_SAS'] },
      receive: { messageOrder: ['FI_ORDER_SAS'] },
    });
    expect(hintsFor(efa, { ordered: false })).toMatchObject({
      transmit: { messageOrder: [] },
      receive: { messageOrder: [] },
    });
  });

  test.each([[{}], [{ ordered: false }], [{ features: ['tagged'] as const }]])(
    'a prefix is never offered for RDM, with %j',
    (options) => {
      const { mode, endpointType } = hintsFor(efa, options);
      expect(endpointType).toBe('FI_EP_RDM');
      expect(mode).toBe(FI_CONTEXT | FI_CONTEXT2);
    },
  );

  test('registered memory is asked for, so that the provider keeps no cache of its own', () => {
    expect(hintsFor(efa, {}).memoryMode).toContain('FI_MR_LOCAL');
  });

  test('no sizes and no progress are asked for, which would leave devices out', () => {
    for (const options of [{}, { ordered: false }, { features: ['tagged', 'rma', 'atomic'] as const }]) {
      const { transmit, receive, ...rest } = hintsFor(efa, options);
      expect(Object.keys({ ...transmit, ...receive })).toEqual(['messageOrder']);
      for (const name of Object.keys(rest)) expect(name).not.toMatch(/size|count|limit|progress/i);
    }
  });

  test('the fabric is chosen by name, and shm inside EFA is not asked for', () => {
    const { fabricName, providerName, caps } = hintsFor(efa, {});
    expect({ fabricName, providerName }).toEqual({ fabricName: 'efa', providerName: 'efa' });
    expect((caps as bigint) & (FI_REMOTE_COMM | FI_LOCAL_COMM)).toBe(FI_REMOTE_COMM);
  });
});
