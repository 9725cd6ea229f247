/** While JavaScript computes, the engine's thread moves data; while data floods in, the loop turns. */
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { numberOf, range } from '../helpers/everyday.js';
import { describeOnProviders, openOne, openOptions, type ProviderUnderTest } from '../helpers/providers.js';

const program = fileURLToPath(new URL('../programs/counting-sender.mjs', import.meta.url));

interface Sender {
  go(): void;
  /** How many messages it has sent, without a turn of this process's loop. */
  sent(): number;
  /** Resolves when it ended well. */
  readonly ended: Promise<void>;
}

/** A second process that sends numbered messages when told to. */
async function startSender(provider: ProviderUnderTest, contact: string, count: number): Promise<Sender> {
  const folder = mkdtempSync(join(tmpdir(), 'libfabric-'));
  const file = join(folder, 'sent');
  writeFileSync(file, new Uint8Array(4));
  const child = fork(program, [JSON.stringify(openOptions(provider)), contact, String(count), file], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  onTestFinished(() => {
    if (child.exitCode === null) child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.once('exit', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`the sender ended with ${String(code)}`));
    });
  });
  await Promise.race([ended, new Promise((resolve) => child.once('message', resolve))]);
  return { go: () => child.send('go'), sent: () => readFileSync(file).readInt32LE(0), ended };
}

describeOnProviders('a loop that is away', { timeoutMs: 60_000 }, (provider) => {
  test('a peer gets on with sending to a process that computes, and nothing is lost', async () => {
    const endpoint = await openOne(provider);
    const count = 500;
    const sender = await startSender(provider, endpoint.contact, count);
    const messages = endpoint.messages();
    let received = messages.next();
    sender.go();
    // From before its first message to here this loop does not turn once: only the engine's thread can read.
    const deadline = performance.now() + 20_000;
    while (sender.sent() < 32 && performance.now() < deadline);
    expect(sender.sent()).toBeGreaterThanOrEqual(32);
    const seen: number[] = [];
    while (seen.length < count) {
      const { value } = await received;
      seen.push(value === undefined ? -1 : numberOf(value));
      received = messages.next();
    }
    if (provider.isBare) seen.sort((one, other) => one - other);
    expect(seen).toEqual(range(count));
    received.catch(() => undefined);
    await sender.ended;
  });
});

describeOnProviders('a flood', { timeoutMs: 60_000 }, (provider) => {
  test('does not starve timers and servers of the process', async () => {
    const endpoint = await openOne(provider);
    const count = 20_000;
    const server = createServer((_request, response) => response.end('still here'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 1);
    const sender = await startSender(provider, endpoint.contact, count);
    sender.go();
    let answeredAt = -1;
    let seen = 0;
    for await (const _message of endpoint.messages()) {
      seen += 1;
      if (seen === 1)
        get({ port, host: '127.0.0.1' }, (response) => {
          response.resume();
          response.once('end', () => (answeredAt = seen));
        });
      if (seen === count) break;
    }
    clearInterval(timer);
    await sender.ended;
    expect(ticks).toBeGreaterThan(0);
    expect(answeredAt).toBeGreaterThan(0);
    expect(answeredAt).toBeLessThan(count);
  });
});
