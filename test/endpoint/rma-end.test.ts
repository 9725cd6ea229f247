/** Reads and writes that cannot succeed: deadlines, peers that die or stop, endpoints that close. Everything settles. */
import { once } from 'node:events';
import { expect, test } from 'vitest';
import type { Deadline, Lease } from 'libfabric';
import { expectBytes, pattern, range, rejection, settledOf } from '../helpers/everyday.js';
import { type ProviderUnderTest, describeOnProviders, openPair } from '../helpers/providers.js';
import { type Target, openTarget, stop } from '../helpers/rma-target.js';

type RmaTarget = Target<readonly ['rma']>;

async function end({ child }: RmaTarget, how: 'killed' | 'stopped'): Promise<void> {
  if (how === 'stopped') {
    await stop(child);
    return;
  }
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

function expectOneOf(outcomes: readonly PromiseSettledResult<unknown>[], ...allowed: string[]): void {
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') continue;
    const { name, message } = outcome.reason as Error;
    expect(
      [name, message].some((word) => allowed.includes(word)),
      `${name}: ${message}`,
    ).toBe(true);
  }
}

describeOnProviders('memory of a process that is', { features: ['rma'], timeoutMs: 60_000 }, (provider) => {
  test.each(['killed', 'stopped'] as const)('%s: operations settle, and close() returns', async (how) => {
    const target = await openTarget(provider, ['rma']);
    const { a, peer, remote } = target;
    await a.write(peer, pattern(64), remote);
    // Some are under way when it happens.
    const early = Promise.allSettled(
      range(20).map(() => a.write(peer, pattern(100_000), remote, { timeoutMs: 100 })),
    );
    await end(target, how);
    const bounded = Promise.allSettled(
      range(10).flatMap(() => [
        a.write(peer, pattern(3000), remote, { timeoutMs: 100 }),
        a.read(peer, 3000, remote, { timeoutMs: 100 }),
      ]),
    );
    const unbounded = Promise.allSettled(
      range(100).flatMap(() => [a.write(peer, pattern(3000), remote), a.read(peer, 3000, remote)]),
    );
    expectOneOf(await early, 'TimeoutError', 'CompletionError', 'FabricError');
    expectOneOf(await bounded, 'TimeoutError', 'CompletionError', 'FabricError');
    peer.close(new Error('given up'));
    expectOneOf(await unbounded, 'given up', 'CompletionError', 'FabricError');
    expect(a.stats().sendsWaiting).toBe(0);
    await a.close({ timeoutMs: 300 });
  });

  test('stopped: writes reject by deadline, signal, and close()', async (context) => {
    if (provider.isBare) context.skip('its device writes without the other process');
    const target = await openTarget(provider, ['rma']);
    const { a, peer, remote, child } = target;
    await stop(child);
    const controller = new AbortController();
    const lease = a.memory.alloc(64);
    const late = rejection(a.write(peer, pattern(64), remote, { timeoutMs: 50 }));
    const aborted = rejection(a.write(peer, lease, remote, { signal: controller.signal }));
    const open = rejection(a.write(peer, pattern(64), remote));
    const error = await late;
    expect(error.name).toBe('TimeoutError');
    expect(error.message).toBe('write did not finish within 50 ms');
    controller.abort(new Error('changed my mind'));
    expect((await aborted).message).toBe('changed my mind');
    const { released } = (await aborted) as unknown as { released: Promise<void> };
    await a.close({ timeoutMs: 200 });
    expect(await open).toHaveProperty('code', 'ERR_FABRIC_CLOSED');
    await Promise.all([released, error.released]);
  });
});

/** A read of a stopped process's memory that is under way; undefined where the provider needs no answer for it. */
async function readFromStopped(
  { a, peer, remote, child }: RmaTarget,
  into: Uint8Array | Lease,
  options?: Deadline,
): Promise<{ reading: Promise<unknown> } | undefined> {
  await a.write(peer, pattern(into.length, 5), remote);
  await stop(child);
  const reading = a.read(peer, into, remote, options);
  const [settled] = await settledOf([reading]);
  return settled ? undefined : { reading };
}

const answers = {
  features: ['rma'],
  unless: ({ isBare }: ProviderUnderTest) =>
    isBare ? 'its device reads without the other process' : undefined,
} as const;

describeOnProviders('a read that waits for its answer', answers, (provider) => {
  test('keeps its Lease when it is aborted, until it is released', async (context) => {
    const target = await openTarget(provider, ['rma']);
    const { a, peer, remote, child } = target;
    const lease = a.memory.alloc(64);
    const controller = new AbortController();
    const under = await readFromStopped(target, lease, { signal: controller.signal });
    if (under === undefined) {
      context.skip(`${provider.name} reads without the other process`);
      return;
    }
    const aborted = rejection(under.reading);
    controller.abort(new Error('changed my mind'));
    const error = await aborted;
    expect(error.message).toBe('changed my mind');
    for (const call of [a.read(peer, lease, remote), a.write(peer, lease, remote), a.send(peer, lease)])
      expect(await rejection(call)).toHaveProperty('code', 'ERR_FABRIC_BUSY');
    expect(await settledOf([error.released as Promise<void>])).toEqual([false]);
    child.kill('SIGCONT');
    await error.released;
    expectBytes(lease.data, pattern(64, 5));
    await a.read(peer, lease, remote);
  });

  test('rejects where its buffer was transferred meanwhile, and touches neither', async (context) => {
    const target = await openTarget(provider, ['rma']);
    const { a, peer, remote, child } = target;
    const into = new Uint8Array(64);
    const under = await readFromStopped(target, into);
    if (under === undefined) {
      context.skip(`${provider.name} reads without the other process`);
      return;
    }
    const lost = rejection(under.reading);
    const moved = structuredClone(into, { transfer: [into.buffer] });
    child.kill('SIGCONT');
    expect((await lost).message).toMatch(/^into .* detached/);
    expectBytes(moved, new Uint8Array(64));
    expectBytes(await a.read(peer, 64, remote), pattern(64, 5));
    expect(a.stats()).toMatchObject({ sendsInFlight: 0, sendsWaiting: 0 });
  });
});

describeOnProviders('an endpoint that closes', { features: ['rma'] }, (provider) => {
  test('lets writes and reads finish', async () => {
    const { a, b, toB } = await openPair(provider, { features: ['rma'] });
    const region = await b.memory.register(100_000, ['remoteRead', 'remoteWrite']);
    region.bytes.fill(9);
    const read = a.read(toB, 50_000, region.remote.slice(50_000, 50_000));
    const written = range(50).map((number) =>
      a.write(toB, pattern(1000, number), region.remote.slice(1000 * number, 1000)),
    );
    await a.close();
    expect((await read).every((byte) => byte === 9)).toBe(true);
    await Promise.all(written);
    for (const number of range(50))
      expect(region.bytes[1000 * number + 999]).toBe(pattern(1000, number)[999]);
    expect(await rejection(a.write(toB, pattern(8), region.remote))).toHaveProperty(
      'code',
      'ERR_FABRIC_CLOSED',
    );
    expect(await rejection(a.read(toB, 8, region.remote))).toHaveProperty('code', 'ERR_FABRIC_CLOSED');
  });

  test('rejects at once where a signal is aborted already, and posts nothing', async () => {
    const { a, b, toB } = await openPair(provider, { features: ['rma'] });
    const { remote } = await b.memory.register(64, ['remoteRead', 'remoteWrite']);
    const signal = AbortSignal.abort(new Error('never'));
    const lease = a.memory.alloc(64);
    for (const call of [
      a.write(toB, pattern(8), remote, { signal }),
      a.write(toB, lease, remote, { signal }),
      a.read(toB, 8, remote, { signal }),
      a.read(toB, lease, remote, { signal }),
    ])
      expect((await rejection(call)).message).toBe('never');
    expect(a.stats()).toMatchObject({ writes: 0, reads: 0 });
    // The Lease is free: it can be read into.
    await a.read(toB, lease, remote);
  });
});
