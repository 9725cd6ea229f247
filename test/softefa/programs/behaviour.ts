// What behaviour.test.ts asks of endpoints on software EFA devices: `behaviour.js RULE [ARGUMENT]`, one line of JSON.
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type OpenOptions, explain, open } from 'libfabric';
import * as fi from 'libfabric/fi';
import {
  OtherProcess,
  type Side,
  bareHints,
  hintsOf,
  listFabrics,
  openSide,
  ours,
  said,
  say,
  theirs,
  turn,
} from './device.js';

const nameOf = (error: unknown): string => (error as Error).name;
const outcomeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'resolved', nameOf);

/** How many messages a peer sends while this process computes. More than the receive buffers of the provider's own. */
const MESSAGES = 500;
const COMPUTE_MS = 2000;

/** How many receives a bare listener posts. */
const POSTED = 16;

/** The first record of a side's queue as an error. */
function failureOf({ queue }: Side, operation: string): fi.CompletionError {
  const { completions } = queue;
  return new fi.CompletionError({
    errno: completions.error(0),
    providerErrno: completions.providerError(0),
    providerMessage: queue.errorText(0),
    provider: 'efa',
    operation,
    length: 64,
  });
}

/**
 * Stops a listener and sends to it until a send fails: how many its NIC had acknowledged, and the error. The provider must not
 * try again by itself (FI_RM_DISABLED), nor the device for ever, as it does for efa-direct.
 */
async function sendUntilRefused(fabric: string, listener: OtherProcess): Promise<unknown> {
  const hints = hintsOf(fabric, { resourceManagement: 'FI_RM_DISABLED' });
  const side = await openSide(hints, 8, (endpoint) => endpoint.setOpt('FI_OPT_EFA_RNR_RETRY', 3));
  const { endpoint, queue, memory } = side;
  const peer = side.addresses.insert(Buffer.from(await listener.next<string>(), 'hex'));
  await listener.stop();
  let acknowledged = -1;
  do {
    acknowledged += 1;
    endpoint.send(memory, 0, 64, peer, 0);
    while (queue.read() === 0) await turn();
  } while (queue.completions.error(0) === 0);
  const { code, providerErrno, providerErrorName, cause, remedy } = failureOf(side, 'send');
  await side.close();
  return { acknowledged, code, providerErrno, providerErrorName, cause, remedy };
}

/** Computes for so long, and until the sender has said in the file that it is done; at most for five times as long. */
function compute(file: string): { done: number; ms: number } {
  const start = performance.now();
  const descriptor = openSync(file, 'r');
  const sent = new Int32Array(1);
  let ms = 0;
  for (;;) {
    readSync(descriptor, sent, 0, 4, 0);
    ms = performance.now() - start;
    if ((ms >= COMPUTE_MS && sent[0] === MESSAGES) || ms >= 5 * COMPUTE_MS) break;
  }
  closeSync(descriptor);
  return { done: sent[0], ms };
}

/** Numbered messages of many sizes, received in whatever order. */
async function numbered(options: OpenOptions, count: number, sizes: readonly number[]): Promise<number[]> {
  const [a, b] = [await open({ ...ours, ...options }), await open({ ...theirs, ...options })];
  const toB = a.peer(b.contact);
  const got: number[] = [];
  const receiving = (async () => {
    for await (const { data } of b.messages()) {
      got.push(new DataView(data.buffer, data.byteOffset).getUint32(0));
      if (got.length === count) return;
    }
  })();
  const sends: Promise<void>[] = [];
  for (let number = 0; number < count; number++) {
    const message = new Uint8Array(sizes[number % sizes.length]);
    new DataView(message.buffer).setUint32(0, number);
    sends.push(a.send(toB, message));
  }
  await Promise.all([...sends, receiving]);
  await Promise.all([a.close(), b.close()]);
  return got;
}

const rules: Readonly<Record<string, (argument: string) => unknown>> = {
  /** A peer sends while this process computes: how many of its sends had completed by the end, and what arrived. */
  async busy() {
    const folder = mkdtempSync(join(tmpdir(), 'busy-'));
    const file = join(folder, 'sent');
    writeFileSync(file, new Uint8Array(4));
    const endpoint = await open(ours);
    const greeting = endpoint.recv(64);
    const sender = new OtherProcess('sendWhileBusy', JSON.stringify({ contact: endpoint.contact, file }));
    await greeting;
    const messages = endpoint.messages();
    const computed = compute(file);
    let received = 0;
    for await (const { length } of messages) {
      received += length === 1024 ? 1 : 0;
      if (received === MESSAGES) break;
    }
    const errors = await sender.next<string[]>();
    await endpoint.close();
    rmSync(folder, { recursive: true });
    return { done: computed.done, computedLongEnough: computed.ms >= COMPUTE_MS, received, errors };
  },

  async sendWhileBusy(argument) {
    const { contact, file } = JSON.parse(argument) as { contact: string; file: string };
    const endpoint = await open(theirs);
    const peer = endpoint.peer(contact);
    const errors: string[] = [];
    endpoint.on('error', (error) => errors.push(error.message));
    await endpoint.send(peer, new Uint8Array(8), { completion: 'transmit' });
    const progress = openSync(file, 'r+');
    const sent = Int32Array.of(0);
    const message = new Uint8Array(1024);
    for (let number = 1; number <= MESSAGES; number++) {
      await endpoint
        .send(peer, message, { completion: 'transmit' })
        .catch((error: unknown) => errors.push(String(error)));
      sent[0] = number;
      writeSync(progress, sent, 0, 4, 0);
    }
    say(errors);
    await endpoint.close();
    process.exit(0);
  },

  /** Sends to a peer whose process is stopped, each with a deadline, until they meet it; then the close. */
  async stopped() {
    const endpoint = await open(ours);
    const listener = new OtherProcess('listen');
    const peer = endpoint.peer(await listener.next<string>());
    await endpoint.send(peer, new Uint8Array(1024), { completion: 'transmit' });
    process.kill(listener.child.pid!, 'SIGSTOP');
    const message = new Uint8Array(1024);
    const options = { completion: 'transmit', timeoutMs: 500 } as const;
    const outcomes = await Promise.all(
      Array.from({ length: 1500 }, () => outcomeOf(endpoint.send(peer, message, options))),
    );
    const large = await outcomeOf(endpoint.send(peer, new Uint8Array(8 << 20), options));
    await endpoint.close({ timeoutMs: 500 });
    process.kill(listener.child.pid!, 'SIGKILL');
    say({ outcomes: [...new Set(outcomes)].sort(), large, closed: endpoint.closed });
    // The close that was left to itself still hangs in libfabric, whose 2.1 may crash when a process ends around it.
    process.kill(process.pid, 'SIGKILL');
  },

  async listen() {
    const endpoint = await open(theirs);
    say(endpoint.contact);
    for (;;) await endpoint.recv(1024);
  },

  /** Sends to a peer whose process is stopped, of each fabric, until one fails. */
  async exhausted() {
    const answers: Record<string, unknown> = {};
    for (const fabric of await listFabrics()) {
      const listener = new OtherProcess('listenBare', fabric);
      try {
        answers[fabric] = await sendUntilRefused(fabric, listener);
      } finally {
        listener.child.kill('SIGKILL'); // even a stopped process, which no other signal ends
      }
    }
    return answers;
  },

  /** An endpoint with sixteen receives posted, which reads its queue. */
  async listenBare(fabric) {
    const { endpoint, queue, memory } = await openSide(hintsOf(fabric));
    for (let context = 0; context < POSTED; context++) endpoint.recv(memory, context * 64, 64, context);
    queue.read(); // posts the provider's own buffers
    say(Buffer.from(endpoint.getName()).toString('hex'));
    for (;;) {
      queue.read();
      await turn();
    }
  },

  /** The order in which messages arrive, of an endpoint with these options. */
  async order(argument) {
    const options = JSON.parse(argument) as OpenOptions;
    const direct = options.provider === 'efa-direct';
    // Of one packet, of several, and beyond what is sent without asking.
    const got = await numbered(options, 400, direct ? [8, 1000, 8000] : [8, 9000, 1000, 80_000]);
    return {
      inOrder: got.every((number, index) => number === index),
      complete: new Set(got).size === 400 && Math.max(...got) === 399,
    };
  },

  /** What explain() and open() say of efa-direct, in order and not. */
  async direct() {
    const provider = 'efa-direct';
    const refused = await open({ provider }).then(() => 'opened', said);
    const explained = (await explain({ provider })).candidates.map(({ status, reason }) => ({
      status,
      reason,
    }));
    const unordered = await open({ provider, ordered: false }).then(async (endpoint) => {
      const { fabric, why, limits } = endpoint;
      await endpoint.close();
      return { fabric, why, limits };
    }, said);
    return { refused, explained, unordered };
  },

  /**
   * Errors of single operations, by the layer of libfabric's objects: as `[provider's number, fi_errno]`. RNR on efa, where
   * flow control is off; the others on efa-direct, where it is there.
   */
  async errors() {
    const errors: Record<string, readonly number[]> = {};
    const attempt = async (name: string, hints: fi.Hints, act: Act): Promise<void> => {
      const [a, b] = [await openSide(hints), await openSide(hints)];
      const toB = a.addresses.insert(b.endpoint.getName());
      b.addresses.insert(a.endpoint.getName());
      if (act.bytesPosted !== undefined) b.endpoint.recv(b.memory, 0, act.bytesPosted, 0);
      let isSent = false;
      const { completions } = a.queue;
      for (let count = 0; count === 0; count = a.queue.read()) {
        isSent ||= a.endpoint.send(a.memory, 0, act.bytes, toB, 0);
        if (act.bytesPosted !== undefined) b.queue.read();
        await turn();
      }
      errors[name] = [completions.providerError(0), completions.error(0)];
      await a.close();
      await b.close();
    };
    await attempt('noBuffer', hintsOf('efa', { resourceManagement: 'FI_RM_DISABLED' }), { bytes: 64 });
    if ((await listFabrics()).includes('efa-direct')) {
      await attempt('tooLongForBuffer', hintsOf('efa-direct'), { bytes: 4096, bytesPosted: 64 });
      await attempt('tooLongForDevice', hintsOf('efa-direct'), { bytes: 10_000, bytesPosted: 20_000 });
    }
    return errors;
  },

  /** A send of memory that nobody registered. */
  async unregistered() {
    const side = await openSide(await bareHints());
    const self = side.addresses.insert(side.endpoint.getName());
    const outcomes = [8, 0].map((length) => {
      try {
        return side.endpoint.send(fi.Memory.allocate(64), 0, length, self, length);
      } catch (error) {
        return (error as { code?: unknown }).code;
      }
    });
    await side.close();
    return outcomes;
  },
};

interface Act {
  bytes: number;
  bytesPosted?: number;
}

const [, , rule = '', argument = ''] = process.argv;
const answer = await rules[rule](argument);
if (answer !== undefined) say(answer);
