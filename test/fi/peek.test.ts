import { expect, it } from 'vitest';
import { FI_CLAIM, FI_DISCARD, FI_PEEK } from 'libfabric/fi';
import { FI_ENOMSG } from '../../src/fi/errno.js';
import { type Completed, type FiPair, openSides, pattern, sameBytes, turn } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

const busy = expect.objectContaining({ code: 'ERR_FABRIC_BUSY' });
const ALL_BITS = 0xffff_ffff_ffff_ffffn;

/** Why a provider cannot run the suite. */
function lacksPeek({ name, libraryVersion }: ProviderUnderTest): string | undefined {
  if (name === 'shm' && libraryVersion < 0x20001) return 'shm 1.17 takes a peek for a receive';
  return undefined;
}

/** Looks for a message: its completion, or undefined where there is none. */
async function peekOnce(
  pair: FiPair,
  tag: bigint,
  flags: bigint,
  ignore = 0n,
): Promise<Completed | undefined> {
  const { b } = pair;
  const context = b.context();
  await pair.post('the peek', () => b.endpoint.recvMessageTagged([], tag, context, flags, ignore));
  const completed = await pair.completion(b, context);
  if (completed.error === 0) return completed;
  expect(completed.error).toBe(FI_ENOMSG);
  return undefined;
}

/** Looks until the message has arrived. */
async function peek(pair: FiPair, tag: bigint, flags: bigint, ignore = 0n): Promise<Completed> {
  const deadline = Date.now() + 15_000;
  for (;;) {
    const found = await peekOnce(pair, tag, flags, ignore);
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`no message with the tag ${tag} within 15 s`);
    await turn(pair.a.provider);
  }
}

/** Sends a message of so many bytes with a tag; the other side has no receive for it. */
async function sendUnexpected(pair: FiPair, length: number, tag: bigint): Promise<Uint8Array> {
  const content = pattern(length, Number(tag));
  const memory = await pair.a.memory(content);
  const context = pair.a.context();
  await pair.post('a send', () => pair.a.endpoint.sendTagged(memory, 0, length, pair.toB, tag, context));
  return content;
}

describeOnProviders('looking for a message', { features: ['tagged'], unless: lacksPeek }, (provider) => {
  it('finds none where there is none, and frees its context', async () => {
    const pair = await openSides(provider);
    expect(await peekOnce(pair, 1n, FI_PEEK)).toBeUndefined();
    expect(await peekOnce(pair, 1n, FI_PEEK | FI_CLAIM, ALL_BITS)).toBeUndefined();
    expect(await peekOnce(pair, 1n, FI_PEEK | FI_DISCARD)).toBeUndefined();
    const { b } = pair;
    await pair.post('the context once more', () => b.endpoint.recvMessageTagged([], 1n, 0, FI_PEEK));
  });

  it('tells its length and tag, and leaves it where it is', async () => {
    const pair = await openSides(provider);
    const { b } = pair;
    const content = await sendUnexpected(pair, 48, 0x77n);
    for (let time = 0; time < 3; time++)
      expect(await peek(pair, 0x70n, FI_PEEK, 0xfn)).toMatchObject({
        error: 0,
        length: 48,
        tag: 0x77n,
        isReceive: true,
      });
    expect(await peekOnce(pair, 0x71n, FI_PEEK)).toBeUndefined();
    const into = await b.memory(48);
    const context = b.context();
    await pair.post('the receive', () => b.endpoint.recvTagged(into, 0, 48, 0x77n, context));
    expect(await pair.completion(b, context)).toMatchObject({ error: 0, length: 48, tag: 0x77n });
    expect(sameBytes(into.bytes, content)).toBe(true);
    expect(await peekOnce(pair, 0x77n, FI_PEEK)).toBeUndefined();
  });

  it('claims it, for a receive with the same context', async () => {
    const pair = await openSides(provider);
    const { b } = pair;
    const content = await sendUnexpected(pair, 64, 5n);
    await peek(pair, 5n, FI_PEEK);
    const { context } = await peek(pair, 5n, FI_PEEK | FI_CLAIM);
    // Nobody else can have it, nor the context.
    expect(await peekOnce(pair, 5n, FI_PEEK)).toBeUndefined();
    const into = await b.memory(64);
    expect(() => b.endpoint.recvTagged(into, 0, 64, 5n, context)).toThrow(busy);
    expect(() => b.endpoint.recvMessageTagged([], 5n, context, FI_PEEK)).toThrow(busy);
    expect(b.endpoint.cancel(context)).toBe(false);
    const before = b.completed.length;
    await pair.post('the receive', () =>
      b.endpoint.recvMessageTagged([{ memory: into }], 5n, context, FI_CLAIM),
    );
    await pair.until('the message', () => b.completed.length > before);
    expect(b.completed.at(-1)).toMatchObject({ context, error: 0, length: 64, tag: 5n });
    expect(sameBytes(into.bytes, content)).toBe(true);
    await pair.post('the context once more', () => b.endpoint.recvTagged(into, 0, 64, 6n, context));
  });

  it('throws it away, at once or after it was claimed', async () => {
    const pair = await openSides(provider);
    const { b } = pair;
    await sendUnexpected(pair, 32, 1n);
    await peek(pair, 1n, FI_PEEK);
    await peek(pair, 1n, FI_PEEK | FI_DISCARD);
    expect(await peekOnce(pair, 1n, FI_PEEK)).toBeUndefined();

    await sendUnexpected(pair, 32, 2n);
    const { context } = await peek(pair, 2n, FI_PEEK | FI_CLAIM);
    const before = b.completed.length;
    await pair.post('the discard', () =>
      b.endpoint.recvMessageTagged([], 2n, context, FI_CLAIM | FI_DISCARD),
    );
    await pair.until('its completion', () => b.completed.length > before);
    expect(b.completed.at(-1)).toMatchObject({ context, error: 0 });
    expect(await peekOnce(pair, 2n, FI_PEEK)).toBeUndefined();

    // What comes after is not touched.
    const content = await sendUnexpected(pair, 32, 3n);
    const into = await b.memory(32);
    const last = b.context();
    await pair.post('the receive', () => b.endpoint.recvTagged(into, 0, 32, 3n, last));
    expect(await pair.completion(b, last)).toMatchObject({ error: 0, length: 32, tag: 3n });
    expect(sameBytes(into.bytes, content)).toBe(true);
  });

  it('leaves nothing in the way of closing when what was claimed is not received', async (test) => {
    const { name, libraryVersion } = provider;
    if (name === 'efa' && libraryVersion >= 0x20001) test.skip('efa 2.1 ends the process');
    const pair = await openSides(provider);
    await sendUnexpected(pair, 32, 9n);
    const { context } = await peek(pair, 9n, FI_PEEK | FI_CLAIM);
    await pair.b.endpoint.close();
    expect(pair.b.endpoint.dropped).not.toContain(context);
  });

  it('refuses what cannot be meant', async () => {
    const pair = await openSides(provider);
    const { b } = pair;
    const memory = await b.memory(64);
    const list = [{ memory }];
    expect(() => b.endpoint.recvMessageTagged(list, 0n, 0, FI_CLAIM)).toThrow(
      expect.objectContaining({ code: 'FI_EINVAL', message: expect.stringContaining('claimed') }),
    );
    expect(() => b.endpoint.recvMessageTagged([], 0n, 0, FI_CLAIM | FI_DISCARD)).toThrow(
      expect.objectContaining({ code: 'FI_EINVAL' }),
    );
    for (const flags of [FI_PEEK, FI_PEEK | FI_CLAIM, FI_PEEK | FI_DISCARD, FI_CLAIM | FI_DISCARD])
      expect(() => b.endpoint.recvMessageTagged(list, 0n, 0, flags)).toThrow(RangeError);
    expect(() => b.endpoint.recvMessageTagged([], 0n, 0, FI_CLAIM)).toThrow(RangeError);
    expect(() => b.endpoint.recvMessageTagged([], 0n, 0, FI_DISCARD)).toThrow(RangeError);
    expect(() => b.endpoint.recvMessageTagged([], 0n, -1, FI_PEEK)).toThrow(busy);
    // A receive in flight is no claim.
    await pair.post('a receive', () => b.endpoint.recvTagged(memory, 0, 8, 1n, 4));
    expect(() => b.endpoint.recvMessageTagged(list, 0n, 4, FI_CLAIM)).toThrow(
      expect.objectContaining({ code: 'FI_EINVAL' }),
    );
  });
});
