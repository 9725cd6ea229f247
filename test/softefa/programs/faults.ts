// What faults.test.ts asks a process on two software EFA devices: `faults.js RULE [ARGUMENT]`, one line of JSON.
import { CompletionError, type Endpoint, type Peer, open } from 'libfabric';
import { softwareEfaDevices } from 'libfabric/testing';
import { meet, ours, say, theirs } from './device.js';

/** What came of a send: the device's word is waited for. */
async function outcomeOf(endpoint: Endpoint, peer: Peer, timeoutMs = 10_000): Promise<unknown> {
  const options = { completion: 'transmit', timeoutMs } as const;
  return await endpoint.send(peer, new Uint8Array(16), options).then(
    () => 'sent',
    (error: unknown) => (error instanceof CompletionError ? error.providerErrno : (error as Error).name),
  );
}

async function pair(): Promise<{ a: Endpoint; b: Endpoint; peer: Peer }> {
  const [a, b] = [await open(ours), await open(theirs)];
  await meet(a, b);
  return { a, b, peer: a.peer(b.contact) };
}

const rules: Readonly<Record<string, (argument: string) => Promise<unknown>>> = {
  /** What a send fails with for each status of the device, with all that the error says; and that the next goes through. */
  async statuses(argument) {
    const { a, b, peer } = await pair();
    const [device] = softwareEfaDevices();
    const failures: unknown[] = [];
    for (const status of JSON.parse(argument) as number[]) {
      await device.fail({ status, operation: 'send', peer: b.address });
      await a.send(peer, new Uint8Array(16), { completion: 'transmit', timeoutMs: 10_000 }).then(
        () => failures.push('sent'),
        (error: unknown) => {
          const { code, providerErrno, providerErrorName, cause, remedy } = error as CompletionError;
          failures.push({ code, providerErrno, providerErrorName, cause, remedy });
        },
      );
    }
    const after = await outcomeOf(a, peer);
    await Promise.all([a.close(), b.close()]);
    return { failures, after };
  },

  /** Which of five sends fail where the third and fourth are to; then where those to a peer are, and after all is taken back. */
  async chosen() {
    const { a, b, peer } = await pair();
    const [device] = softwareEfaDevices();
    await device.fail({ status: 6, nth: 3, count: 2, peer: b.address });
    const five: unknown[] = [];
    for (let count = 0; count < 5; count++) five.push(await outcomeOf(a, peer));
    // To itself, to which nothing goes.
    await device.fail({ status: 8, count: 0, peer: a.address });
    const toOthers = await outcomeOf(a, peer);
    await device.fail({ status: 7, count: 0, peer: b.address });
    const toPeer = [await outcomeOf(a, peer), await outcomeOf(a, peer)];
    await device.clear();
    const cleared = await outcomeOf(a, peer);
    await Promise.all([a.close(), b.close()]);
    return { five, toOthers, toPeer, cleared };
  },

  /** A message to a peer that is cut off, whether it arrives once the cable is mended, and the same with one that loses all. */
  async mended() {
    const { a, b, peer } = await pair();
    const [device] = softwareEfaDevices();
    const answers: unknown[] = [];
    const breaks = [
      [() => device.cut(b.address), () => device.mend(b.address)],
      [() => device.cut(), () => device.mend()],
      [() => device.setCable({ lossPerMillion: 1_000_000 }), () => device.clear()],
    ];
    for (const [breakIt, mend] of breaks) {
      await breakIt();
      const received = b.recv(64);
      const outcome = await outcomeOf(a, peer, 300);
      await mend();
      answers.push([outcome, (await received).length]);
    }
    await Promise.all([a.close(), b.close()]);
    return answers;
  },

  /** What a peer that stays cut off is to its sender. */
  async cut() {
    const { a, b, peer } = await pair();
    const [device] = softwareEfaDevices();
    await device.cut(b.address);
    const outcome = await outcomeOf(a, peer);
    await device.mend();
    await Promise.all([a.close(), b.close()]);
    return outcome;
  },

  /** The first send, and the second, where the environment has a rule. */
  async environment() {
    const [a, b] = [await open(ours), await open(theirs)];
    const peer = a.peer(b.contact);
    const outcomes = [await outcomeOf(a, peer), await outcomeOf(a, peer)];
    await Promise.all([a.close(), b.close()]);
    return outcomes;
  },
};

const [, , rule = '', argument = ''] = process.argv;
say(await rules[rule](argument));
