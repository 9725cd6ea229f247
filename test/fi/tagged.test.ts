import { describe, expect, it } from 'vitest';
import { FI_ECANCELED } from '../../src/fi/errno.js';
import { openSides, pattern, sameBytes } from '../helpers/fi.js';
import { describeOnProviders } from '../helpers/providers.js';

const ALL_BITS = 0xffff_ffff_ffff_ffffn;

describeOnProviders('tagged messages', { features: ['tagged'] }, (provider) => {
  it.each([0, 1, 64, 4096, 65_536, 1_048_576])('carry %i bytes and their tag', async (size) => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(pattern(size, 3));
    const into = await b.memory(size);
    const completed = await pair.transfer(
      (context) => a.endpoint.sendTagged(from, 0, size, toB, 42n, context),
      (context) => b.endpoint.recvTagged(into, 0, size, 42n, context),
    );
    expect(completed).toMatchObject({ error: 0, length: size, isReceive: true, isTagged: true, tag: 42n });
    expect(sameBytes(into.bytes, from.bytes)).toBe(true);
  });

  it.each([0n, 1n, 0xffff_ffffn, 1n << 32n, 0x7fff_ffff_ffff_ffffn])(
    'match the tag %s exactly',
    async (tag) => {
      const pair = await openSides(provider);
      const { a, b, toB } = pair;
      const from = await a.memory(16);
      const into = await b.memory(16);
      // Differs in the lowest bit only: must not match.
      await pair.post('the other receive', () => b.endpoint.recvTagged(into, 0, 8, tag ^ 1n, 900));
      const completed = await pair.transfer(
        (context) => a.endpoint.sendTagged(from, 0, 8, toB, tag, context),
        (context) => b.endpoint.recvTagged(into, 8, 8, tag, context),
      );
      expect(completed).toMatchObject({ error: 0, tag });
      expect(b.of(900)).toBeUndefined();
    },
  );

  it('come to the receive with their tag, in whatever order those were posted', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(pattern(40));
    const into = await b.memory(40);
    for (const index of [3, 1, 2, 0])
      await pair.post('a receive', () => b.endpoint.recvTagged(into, index * 10, 10, BigInt(index), index));
    for (const index of [0, 1, 2, 3])
      await pair.post('a send', () => a.endpoint.sendTagged(from, index * 10, 10, toB, BigInt(index), index));
    await pair.until('all', () => b.completed.length === 4);
    for (const index of [0, 1, 2, 3]) expect(b.of(index)).toMatchObject({ error: 0, tag: BigInt(index) });
    expect(sameBytes(into.bytes, from.bytes)).toBe(true);
  });

  it('with one tag come in the order of the sends', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const count = 50;
    const from = await a.memory(count);
    const into = await b.memory(count);
    from.bytes.set([...Array(count).keys()]);
    // The first half meets posted receives, the second half comes before its receives.
    for (let index = 0; index < count / 2; index++)
      await pair.post('a receive', () => b.endpoint.recvTagged(into, index, 1, 7n, index));
    for (let index = 0; index < count; index++)
      await pair.post('a send', () => a.endpoint.sendTagged(from, index, 1, toB, 7n, index));
    await pair.until('the first half', () => b.completed.length === count / 2);
    for (let index = count / 2; index < count; index++)
      await pair.post('a receive', () => b.endpoint.recvTagged(into, index, 1, 7n, index));
    await pair.until('all', () => b.completed.length === count && a.completed.length === count);
    expect([...into.bytes]).toEqual([...Array(count).keys()]);
  });

  describe('with ignored bits', () => {
    it('match any tag where all are ignored, and the completion says which it was', async () => {
      const pair = await openSides(provider);
      const { a, b, toB } = pair;
      const from = await a.memory(4);
      const into = await b.memory(4);
      for (const tag of [5n, 0x1234_5678_9abcn]) {
        const completed = await pair.transfer(
          (context) => a.endpoint.sendTagged(from, 0, 4, toB, tag, context),
          (context) => b.endpoint.recvTagged(into, 0, 4, 0n, context, ALL_BITS),
        );
        expect(completed).toMatchObject({ error: 0, tag });
      }
    });

    it('match only where the other bits are equal', async () => {
      const pair = await openSides(provider);
      const { a, b, toB } = pair;
      const from = await a.memory(4);
      const into = await b.memory(8);
      // Ignores the low byte; the second byte must be 0x12.
      await pair.post('the masked receive', () => b.endpoint.recvTagged(into, 0, 4, 0x1200n, 0, 0xffn));
      await pair.post('the exact receive', () => b.endpoint.recvTagged(into, 4, 4, 0x1334n, 1));
      await pair.post('a send', () => a.endpoint.sendTagged(from, 0, 4, toB, 0x1334n, 0));
      expect(await pair.completion(b, 1)).toMatchObject({ tag: 0x1334n });
      expect(b.of(0)).toBeUndefined();
      await pair.post('a send', () => a.endpoint.sendTagged(from, 0, 4, toB, 0x12ffn, 1));
      expect(await pair.completion(b, 0)).toMatchObject({ tag: 0x12ffn });
    });
  });

  it('and untagged ones do not mix', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(8);
    const into = await b.memory(16);
    await pair.post('the tagged receive', () => b.endpoint.recvTagged(into, 0, 8, 0n, 1, ALL_BITS));
    await pair.post('the untagged receive', () => b.endpoint.recv(into, 8, 8, 2));
    await pair.post('the untagged send', () => a.endpoint.send(from, 0, 8, toB, 1));
    expect(await pair.completion(b, 2)).toMatchObject({ isTagged: false, error: 0 });
    expect(b.of(1)).toBeUndefined();
    await pair.post('the tagged send', () => a.endpoint.sendTagged(from, 0, 8, toB, 11n, 2));
    expect(await pair.completion(b, 1)).toMatchObject({ isTagged: true, tag: 11n, error: 0 });
  });

  it.each(['buffer', 'transmit', 'delivery'] as const)('complete at the level %s', async (completion) => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(pattern(128));
    const into = await b.memory(128);
    const completed = await pair.transfer(
      (context) => a.endpoint.sendTagged(from, 0, 128, toB, 1n, context, { completion }),
      (context) => b.endpoint.recvTagged(into, 0, 128, 1n, context),
    );
    expect(completed).toMatchObject({ error: 0, length: 128, immediate: undefined });
    expect(sameBytes(into.bytes, from.bytes)).toBe(true);
  });

  it.each(['buffer', 'delivery'] as const)('bring remote CQ data at the level %s', async (completion) => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const memory = await a.memory(1);
    const into = await b.memory(8);
    const completed = await pair.transfer(
      (context) => a.endpoint.sendTagged(memory, 0, 1, toB, 6n, context, { immediate: 0xabcdn, completion }),
      (context) => b.endpoint.recvTagged(into, 0, 8, 6n, context),
    );
    expect(completed).toMatchObject({ length: 1, tag: 6n, immediate: 0xabcdn });
  });

  it.each([undefined, 77n])('injected, bring the remote CQ data %s', async (immediate) => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const content = pattern(32);
    const from = await a.memory(content);
    const into = await b.memory(32);
    await pair.post('the receive', () => b.endpoint.recvTagged(into, 0, 32, 3n, 0));
    await pair.post('the send', () => a.endpoint.injectTagged(from, 0, 32, toB, 3n, { immediate }));
    from.bytes.fill(0);
    expect(await pair.completion(b, 0)).toMatchObject({ error: 0, length: 32, tag: 3n, immediate });
    expect(sameBytes(into.bytes, content)).toBe(true);
    expect(a.completed).toEqual([]);
  });

  it('can be cancelled', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(8);
    const into = await b.memory(16);
    await pair.post('a receive', () => b.endpoint.recvTagged(into, 0, 8, 1n, 0));
    await pair.post('a receive', () => b.endpoint.recvTagged(into, 8, 8, 1n, 1));
    expect(b.endpoint.cancel(0)).toBe(true);
    expect(await pair.completion(b, 0)).toMatchObject({ error: FI_ECANCELED });
    await pair.post('the send', () => a.endpoint.sendTagged(from, 0, 8, toB, 1n, 0));
    expect(await pair.completion(b, 1)).toMatchObject({ error: 0 });
  });
});

describeOnProviders(
  'directed receives',
  {
    features: ['tagged'],
    unless: ({ namesSender }) => (namesSender ? undefined : 'the provider cannot tell who sent a message'),
  },
  (provider) => {
    const caps = ['FI_MSG', 'FI_TAGGED', 'FI_DIRECTED_RECV', 'FI_SOURCE'];

    it('match only messages of their peer, and the completion names it', async (context) => {
      if (!provider.directsMessages) context.skip('the provider gives an untagged one to any sender');
      const pair = await openSides(provider, { caps });
      const { a, b, toB, toA } = pair;
      const self = b.addresses.insert(b.endpoint.getName());
      const from = await a.memory(8);
      const into = await b.memory(32);
      await pair.post('from itself', () => b.endpoint.recv(into, 0, 8, 0, self));
      await pair.post('from a', () => b.endpoint.recv(into, 8, 8, 1, toA));
      await pair.post('a send', () => a.endpoint.send(from, 0, 8, toB, 0));
      expect(await pair.completion(b, 1)).toMatchObject({ error: 0, source: toA });
      expect(b.of(0)).toBeUndefined();
      await pair.post('a send', () => b.endpoint.send(into, 16, 8, self, 2));
      expect(await pair.completion(b, 0)).toMatchObject({ error: 0, source: self });
    });

    it('match the tag too', async () => {
      const pair = await openSides(provider, { caps });
      const { a, b, toB, toA } = pair;
      const self = b.addresses.insert(b.endpoint.getName());
      const from = await a.memory(8);
      const into = await b.memory(32);
      await pair.post('from itself', () => b.endpoint.recvTagged(into, 0, 8, 5n, 0, 0n, self));
      await pair.post('another tag', () => b.endpoint.recvTagged(into, 8, 8, 6n, 1, 0n, toA));
      await pair.post('from a', () => b.endpoint.recvTagged(into, 16, 8, 5n, 2, 0n, toA));
      await pair.post('a send', () => a.endpoint.sendTagged(from, 0, 8, toB, 5n, 0));
      expect(await pair.completion(b, 2)).toMatchObject({ error: 0, source: toA, tag: 5n });
      expect(b.completed).toHaveLength(1);
    });

    it('are told the sender of an undirected message too', async () => {
      const pair = await openSides(provider, { caps });
      const { a, b, toB, toA } = pair;
      const from = await a.memory(8);
      const into = await b.memory(8);
      const completed = await pair.transfer(
        (context) => a.endpoint.send(from, 0, 8, toB, context),
        (context) => b.endpoint.recv(into, 0, 8, context),
      );
      expect(completed.source).toBe(toA);
    });
  },
);
