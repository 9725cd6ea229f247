/** The rules of rules.test.ts that are about messages, queues and peers. */
import { describe, expect, test } from 'vitest';
import { Said, askProgram, fabrics, hasDirect, startProgram } from '../helpers/efa-programs.js';
import { whyNoDevice } from '../helpers/softefa.js';

const reason = whyNoDevice();

/** Closes that have to be left to themselves say so. */
const quiet = { NODE_NO_WARNINGS: '1' };

describe
  .skipIf(reason !== undefined)
  .concurrent(`rules of EFA for data${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
    test('operation tables may be NULL: what an endpoint lacks is refused, not called', async () => {
      interface Answer {
        fabric: string;
        type: string;
        has: { messages: boolean; tagged: boolean; cancel: boolean };
        refused: Record<string, unknown>;
      }
      const { fabric, type, has, refused } = await askProgram<Answer>(['rules', 'tables']);
      expect([fabric, type]).toEqual(hasDirect ? ['efa-direct', 'FI_EP_RDM'] : ['efa', 'FI_EP_DGRAM']);
      expect(has).toMatchObject({ messages: true, tagged: false });
      for (const call of ['sendTagged', 'injectTagged', 'recvTagged', 'cancel'])
        expect([call, refused[call]]).toEqual([call, 'ERR_FABRIC_UNSUPPORTED']);
    });

    test('the CQ is read with a real buffer: data moves although the program asks for nothing', async () => {
      const lengths = await askProgram<Record<string, number>>(['rules', 'realBuffer']);
      expect(lengths).toEqual(Object.fromEntries(fabrics.map((fabric) => [fabric, 1000])));
    });

    test('queue credits for sends, receives and the CQ: it cannot overrun', async () => {
      const answers = await askProgram<Record<string, unknown>>(['rules', 'credits']);
      const answer = { next: ['ERR_FABRIC_BUSY', 'ERR_FABRIC_BUSY'], sent: 16, received: 16, errors: [] };
      expect(answers).toEqual(Object.fromEntries(fabrics.map((fabric) => [fabric, answer])));
    });

    test('silent drops at peer removal and at close are settled by us', async () => {
      interface Answer {
        givenUp: string[];
        closed: string[];
      }
      const { givenUp, closed } = await askProgram<Answer>(['peers', 'silentDrops'], quiet);
      expect(givenUp).toEqual(Array(4).fill('given up'));
      expect(closed).toEqual(Array(2).fill('the Endpoint is closed'));
    });

    test('a peer restarted with the same QPN gets what is for it, and not what was for the dead', async () => {
      const { differ, got } = await askProgram<{ differ: boolean; got: string[] }>(['peers', 'restarted']);
      expect(differ).toBe(true);
      expect(got).toEqual(['to the first', 'to the second', 'once more']);
    });

    test.for([
      ['by the layer of its objects', 'unanswerable'],
      ['by the everyday layer', 'unanswerableEveryday'],
    ])(
      'an EQ is always bound, %s: an error of no operation ends no process',
      async ([, rule], { onTestFinished }) => {
        const receiver = startProgram(['peers', rule], { SOFTEFA_UNRESPONSIVE_MS: '700' });
        const said = new Said(receiver);
        const sender = startProgram(['peers', 'sendOne', await said.next<string>()]);
        const { nic } = await new Said(sender).next<{ nic: number }>();
        process.kill(nic, 'SIGSTOP');
        onTestFinished(async () => {
          process.kill(nic, 'SIGCONT');
          sender.child.stdin?.end('\n');
          await sender.ended;
        });
        receiver.child.stdin?.end('read\n');
        const { length, context, providerErrno } = await said.next<Record<string, number>>();
        expect({ length, context }).toEqual({ length: 5, context: -1 });
        // Unresponsive or unreachable, by whether the sender's NIC has ever acknowledged anything of this side's.
        expect([13, 15]).toContain(providerErrno);
        const { code, stderr } = await receiver.ended;
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      },
    );
  });
