/** How the binding behaves on EFA: while JavaScript computes, towards peers that are stopped, in order and not; its errors. */
import { explainProviderError } from 'libfabric/fi';
import { describe, expect, test } from 'vitest';
import { Said, askProgram, fabrics, hasDirect, startProgram } from '../helpers/efa-programs.js';
import { whyNoDevice } from '../helpers/softefa.js';

const reason = whyNoDevice();

/** So few receive buffers that a program has to be read for, else its peers meet RNR. */
const fewBuffers = { FI_EFA_RX_SIZE: '64' };
const reordering = { SOFTEFA_REORDER_US: '3000' };

const ask = <Answer>(rule: string, env: NodeJS.ProcessEnv = {}, argument?: unknown): Promise<Answer> =>
  askProgram<Answer>(['behaviour', rule, argument === undefined ? '' : JSON.stringify(argument)], env);

describe
  .skipIf(reason !== undefined)
  .concurrent(`an endpoint on EFA${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
    test('whose JavaScript computes for two seconds lets a peer’s sends complete, and RNR does not exhaust', async () => {
      expect(await ask('busy', fewBuffers)).toEqual({
        done: 500,
        computedLongEnough: true,
        received: 500,
        errors: [],
      });
    });

    test('rejects sends to a stopped peer within their deadline, and its close() returns', async () => {
      interface Answer {
        outcomes: string[];
        large: string;
        closed: boolean;
      }
      const run = startProgram(['behaviour', 'stopped'], { ...fewBuffers, NODE_NO_WARNINGS: '1' });
      const { outcomes, ...rest } = await new Said(run).next<Answer>();
      await run.ended;
      // The peer's NIC acknowledges until its buffers run out.
      expect(outcomes).toContain('TimeoutError');
      expect(outcomes.filter((outcome) => !['TimeoutError', 'resolved'].includes(outcome))).toEqual([]);
      expect(rest).toEqual({ large: 'TimeoutError', closed: true });
    });

    test('has its sends acknowledged by a stopped peer’s NIC until no receive is left, then RNR exhausts: 10', async () => {
      interface Failed {
        acknowledged: number;
        providerErrno: number;
      }
      const answers = await ask<Record<string, Failed>>('exhausted', fewBuffers);
      const { name, cause, remedy } = explainProviderError('efa', 10)!;
      const failed = { code: 'FI_ENORX', providerErrno: 10, providerErrorName: name, cause, remedy };
      // The provider's own buffers on efa; those of the program itself on efa-direct.
      const posted: Record<string, unknown> = { efa: 64, 'efa-direct': 16 };
      expect(answers).toEqual(
        Object.fromEntries(fabrics.map((fabric) => [fabric, { acknowledged: posted[fabric], ...failed }])),
      );
    });

    test('with ordered: true gets messages in order while the device reorders', async () => {
      expect(await ask('order', reordering, { ordered: true })).toEqual({ inOrder: true, complete: true });
    });

    test('with ordered: false gets all of them, as they come', async () => {
      expect(await ask('order', reordering, { ordered: false })).toEqual({ inOrder: false, complete: true });
    });

    interface Direct {
      refused: { code: string; message: string };
      explained: { status: string; reason: string }[];
      unordered: { fabric?: string; code?: string; limits?: { maxMessageSize: number } };
    }

    test('on efa-direct with ordered: true is refused by open() with a reason', async () => {
      const answer = await ask<Direct>('direct');
      expect(answer.refused.code).toBe('ERR_FABRIC_UNAVAILABLE');
      const why = hasDirect ? 'it does not offer ordered messages' : 'this libfabric has no such provider';
      expect(answer.refused.message).toContain(why);
      expect(answer.explained).toEqual([
        { status: 'refused', reason: expect.stringContaining(why) as string },
      ]);
      if (!hasDirect) return;
      expect(answer.unordered.fabric).toBe('efa-direct');
      // One packet of the device.
      expect(answer.unordered.limits?.maxMessageSize).toBe(8928);
      const arrived = await ask('order', reordering, { provider: 'efa-direct', ordered: false });
      expect(arrived).toEqual({ inOrder: false, complete: true });
    });

    test('gets the errors of single operations with numbers that the table explains', async () => {
      const errors = await ask<Record<string, [number, number]>>('errors');
      const named = Object.entries(errors).map(([name, [number]]) => [
        name,
        number,
        explainProviderError('efa', number)?.name,
      ]);
      expect(named).toEqual([
        ['noBuffer', 10, 'REMOTE_ERROR_RNR'],
        ...(hasDirect
          ? [
              ['tooLongForBuffer', 11, 'REMOTE_ERROR_BAD_LENGTH'],
              ['tooLongForDevice', 6, 'LOCAL_ERROR_BAD_LENGTH'],
            ]
          : []),
      ]);
    });

    test('refuses memory that nobody registered: efa-direct would look behind its missing descriptor', async () => {
      expect(await ask('unregistered')).toEqual(['FI_ENOMR', 'FI_ENOMR']);
    });
  });
