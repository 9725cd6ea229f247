/** How peers' failures look to a program on the software EFA device: with the codes that hardware gives. */
import { explainProviderError } from 'libfabric/fi';
import { describe, expect, test } from 'vitest';
import { type Receiver, killReceiver, line, startReceiver } from '../helpers/efa-programs.js';
import { CommandRun, whyNoDevice } from '../helpers/softefa.js';

const reason = whyNoDevice();

function startSender(contact: string, when: 'now' | 'twice'): CommandRun {
  const env = { SOFTEFA_UNRESPONSIVE_MS: '1000' };
  return new CommandRun(
    ['softefa', '--', 'node', 'test/programs/efa-sender.mjs', contact, when],
    env,
    'pipe',
  );
}

/** What a second message meets, after the first was acknowledged and something happened. */
async function afterFirst(happens: (receiver: Receiver) => unknown): Promise<string> {
  const receiver = await startReceiver();
  const sender = startSender(receiver.contact, 'twice');
  expect(await line(sender)).toBe('sent');
  await happens(receiver);
  const outcome = line(sender);
  sender.child.stdin?.end('go\n');
  const said = await outcome;
  await sender.ended;
  return said;
}

/** That a failure carries the number, and what the table says of it. */
function expectFailure(said: string, number: number): void {
  const { name, cause, remedy } = explainProviderError('efa', number)!;
  const failure = JSON.parse(said) as Record<string, unknown>;
  expect(failure).toMatchObject({ providerErrno: number, providerErrorName: name, cause, remedy });
  expect(failure.message).toContain(cause);
  expect(failure.message).toContain(remedy);
}

describe.skipIf(reason !== undefined)(`a peer${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  test('whose process was stopped still has its messages acknowledged by its NIC', async () => {
    expect(await afterFirst(({ pid }) => process.kill(pid, 'SIGSTOP'))).toBe('sent');
  });

  test('whose process was killed has no queue pair any more: 9', async () => {
    expectFailure(await afterFirst(killReceiver), 9);
  });

  test('whose NIC has stopped answering is unresponsive: 13', async () => {
    expectFailure(await afterFirst(({ nic }) => process.kill(nic, 'SIGSTOP')), 13);
  });

  test('whose NIC has never answered is unreachable: 15', async () => {
    const receiver = await startReceiver();
    process.kill(receiver.nic, 'SIGSTOP');
    const sender = startSender(receiver.contact, 'now');
    expectFailure(await line(sender), 15);
    await sender.ended;
  });
});
