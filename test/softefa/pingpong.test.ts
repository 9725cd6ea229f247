/** libfabric's own fi_pingpong over its own efa provider, on the software EFA device, with every byte checked. */
import { describe, expect, test } from 'vitest';
import { CommandRun, freePort, listening, whyNoDevice } from '../helpers/softefa.js';

const reason = whyNoDevice();

/** One pair of programs, each with a device of its own. */
async function pingpong(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<void> {
  const port = String(await freePort());
  const start = (...more: string[]): CommandRun =>
    new CommandRun(['softefa', '--', 'fi_pingpong', '-p', 'efa', '-c', ...args, ...more], env);
  const server = start('-B', port);
  await Promise.race([listening(Number(port)), server.ended]);
  const client = start('-P', port, '127.0.0.1');
  for (const { code, stderr } of await Promise.all([server.ended, client.ended])) {
    expect(stderr).toBe('');
    expect(code).toBe(0);
  }
}

describe.skipIf(reason !== undefined)(
  `fi_pingpong${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    test.each([
      ['reliable datagrams of many sizes', ['-e', 'rdm']],
      ['tagged messages', ['-e', 'rdm', '-m', 'tagged', '-S', '4096']],
      ['datagrams', ['-e', 'dgram', '-S', '1024', '-I', '100']],
    ])('%s', async (_, args) => {
      await pingpong(args);
    });

    test('a cable that loses packets', async () => {
      await pingpong(['-e', 'rdm', '-S', '65536', '-I', '20'], { SOFTEFA_LOSS_PER_MILLION: '30000' });
    });

    test('a cable on which packets overtake each other', async () => {
      await pingpong(['-e', 'rdm', '-S', '65536', '-I', '20'], { SOFTEFA_REORDER_US: '2000' });
    });
  },
);
