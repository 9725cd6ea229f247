/** Wrong arguments are refused with a clear error before anything reaches the provider, and nothing accepted is lost. */
import { describe, expect, test } from 'vitest';
import type { Endpoint, Lease, Peer } from 'libfabric';
import { describeOnProviders, openOne, openPair, type ProviderUnderTest } from '../helpers/providers.js';
import { rejection } from '../helpers/everyday.js';

/** A Uint8Array whose buffer has gone elsewhere. */
function detached(): Uint8Array {
  const bytes = new Uint8Array(64);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

function resizable(): Uint8Array {
  const Resizable = ArrayBuffer as unknown as new (bytes: number, options: object) => ArrayBuffer;
  return new Uint8Array(new Resizable(64, { maxByteLength: 128 }));
}

type Wrong = readonly [what: string, value: () => unknown, error: RegExp];

const wrongData: readonly Wrong[] = [
  ['a string', () => 'hello', /data must be a Uint8Array; got 'hello'/],
  ['an ArrayBuffer', () => new ArrayBuffer(8), /data must be a Uint8Array; got an instance of ArrayBuffer/],
  [
    'another typed array',
    () => new Float64Array(8),
    /data must be a Uint8Array; got an instance of Float64Array/,
  ],
  ['undefined', () => undefined, /data must be a Uint8Array; got undefined/],
  ['a detached buffer', detached, /data is a view of a detached ArrayBuffer/],
  ['a resizable buffer', resizable, /data is a view of a resizable ArrayBuffer/],
];

const wrongInto: readonly Wrong[] = [
  ['a string', () => '64', /into must be a Uint8Array, a Lease, or a number of bytes; got '64'/],
  ['a negative number', () => -1, /into must be a whole number from 0/],
  ['half a byte', () => 1.5, /into must be a whole number from 0/],
  ['NaN', () => NaN, /into must be a whole number from 0/],
  ['null', () => null, /into must be a Uint8Array, a Lease, or a number of bytes; got null/],
  ['a detached buffer', detached, /into is a view of a detached ArrayBuffer/],
  ['a resizable buffer', resizable, /into is a view of a resizable ArrayBuffer/],
];

const wrongOptions: readonly Wrong[] = [
  ['a timeout of text', () => ({ timeoutMs: '5' }), /options.timeoutMs must be a number; got '5'/],
  ['a negative timeout', () => ({ timeoutMs: -1 }), /options.timeoutMs must be a whole number from 0/],
  ['a signal that is none', () => ({ signal: {} }), /options.signal must be an AbortSignal/],
];

const wrongSendOptions: readonly Wrong[] = [
  ...wrongOptions,
  [
    'an unknown completion',
    () => ({ completion: 'soon' }),
    /options.completion must be 'buffer', 'transmit' or 'delivery'/,
  ],
  ['immediate data of text', () => ({ immediate: 'x' }), /options.immediate must be a number or a bigint/],
  ['negative immediate data', () => ({ immediate: -1n }), /options.immediate must be from 0n/],
  ['immediate data of 65 bits', () => ({ immediate: 1n << 64n }), /options.immediate must be from 0n/],
];

/** Checks that a call refuses, and that the provider never heard of it. */
async function refuses(endpoint: Endpoint, call: () => unknown, message: RegExp): Promise<void> {
  const before = endpoint.stats();
  const error = await rejection(Promise.resolve().then(call));
  expect(error).toSatisfy((value) => value instanceof TypeError || value instanceof RangeError);
  expect(error.message).toMatch(message);
  const after = endpoint.stats();
  expect(after.messagesSent).toBe(before.messagesSent);
  expect(after.receivesPosted).toBe(before.receivesPosted);
  expect(after.sendsWaiting).toBe(before.sendsWaiting);
}

/** Calls with an argument of any type. */
interface Loose {
  send(peer: unknown, data: unknown, options?: unknown): Promise<void>;
  sendTagged(peer: unknown, tag: unknown, data: unknown, options?: unknown): Promise<void>;
  trySend(peer: unknown, data: unknown, options?: unknown): boolean;
  sendBatch(peer: unknown, items: unknown, options?: unknown): Promise<void>;
  recv(into: unknown, options?: unknown): Promise<unknown>;
  recvTagged(tag: unknown, into: unknown, options?: unknown): Promise<unknown>;
}

async function tagged(provider: ProviderUnderTest): Promise<{ a: Endpoint; loose: Loose; peer: Peer }> {
  const { a, toB } = await openPair(provider, { features: ['tagged'] });
  return { a, loose: a as unknown as Loose, peer: toB };
}

describeOnProviders('wrong arguments', { features: ['tagged'] }, (provider) => {
  test.each(wrongData)('data: %s', async (_what, value, message) => {
    const { a, loose, peer } = await tagged(provider);
    await refuses(a, () => loose.send(peer, value()), message);
    await refuses(a, () => loose.sendTagged(peer, 1, value()), message);
    await refuses(a, () => loose.trySend(peer, value()), message);
    await refuses(a, () => loose.sendBatch(peer, [new Uint8Array(8), value()]), message);
  });

  test.each(wrongInto)('into: %s', async (_what, value, message) => {
    const { a, loose } = await tagged(provider);
    await refuses(a, () => loose.recv(value()), message);
    await refuses(a, () => loose.recvTagged(1, value()), message);
  });

  test.each(wrongSendOptions)('options of a send: %s', async (_what, value, message) => {
    const { a, loose, peer } = await tagged(provider);
    await refuses(a, () => loose.send(peer, new Uint8Array(8), value()), message);
    await refuses(a, () => loose.sendTagged(peer, 1, new Uint8Array(8), value()), message);
  });

  test.each(wrongOptions)('options of a receive: %s', async (_what, value, message) => {
    const { a, loose } = await tagged(provider);
    await refuses(a, () => loose.recv(64, value()), message);
    await refuses(a, () => loose.recvTagged(1, 64, value()), message);
  });

  test('a tag that is none', async () => {
    const { a, loose, peer } = await tagged(provider);
    const data = new Uint8Array(8);
    await refuses(a, () => loose.sendTagged(peer, 'x', data), /tag must be a number or a bigint; got 'x'/);
    await refuses(a, () => loose.sendTagged(peer, -1, data), /tag must be a whole number from 0/);
    await refuses(a, () => loose.sendTagged(peer, 2 ** 60, data), /Above 2\^53 give a bigint/);
    await refuses(a, () => loose.recvTagged(1n << 64n, 64), /tag must be from 0n/);
    await refuses(a, () => loose.recvTagged(1, 64, { ignore: -1n }), /options.ignore must be from 0n/);
  });

  test('a peer that is none, or of another endpoint', async () => {
    const { a, loose } = await tagged(provider);
    const other = await openPair(provider);
    const data = new Uint8Array(8);
    const none = /peer must be a Peer; got .*endpoint\.peer\(contact\)/;
    const foreign = /peer must be a Peer of this endpoint/;
    for (const [peer, message] of [
      [undefined, none],
      [{ contact: a.contact }, none],
      [a.contact, none],
      [other.toB, foreign],
    ] as const) {
      await refuses(a, () => loose.send(peer, data), message);
      await refuses(a, () => loose.sendTagged(peer, 1, data), message);
      await refuses(a, () => loose.trySend(peer, data), message);
      await refuses(a, () => loose.sendBatch(peer, [data]), message);
    }
    await refuses(
      a,
      () => loose.recv(8, { from: other.toB }),
      /options.from must be a Peer of this endpoint/,
    );
    await refuses(
      a,
      () => loose.recv(8, { from: 'somebody' }),
      /options.from must be a Peer; got 'somebody'/,
    );
  });

  test('a lease of another endpoint', async () => {
    const { a, loose, peer } = await tagged(provider);
    const other = await openOne(provider);
    const lease: Lease = other.memory.alloc(64);
    await refuses(a, () => loose.send(peer, lease), /data must be a Lease of this endpoint/);
    await refuses(a, () => loose.recv(lease), /into must be a Lease of this endpoint/);
    lease[Symbol.dispose]();
  });

  test('what was accepted before a wrong call still arrives', async () => {
    const { a, b, toB } = await openPair(provider);
    const received = b.recv(8);
    const sent = a.send(toB, Uint8Array.of(1, 2, 3));
    await rejection((a as unknown as Loose).send(toB, 'wrong'));
    await sent;
    expect([...(await received).data]).toEqual([1, 2, 3]);
  });

  test('closed objects', async () => {
    const { a, b, toB } = await openPair(provider, { features: ['tagged'] });
    const lease = a.memory.alloc(64);
    const data = new Uint8Array(8);
    lease[Symbol.dispose]();
    expect(await rejection(a.send(toB, lease))).toMatchObject({ code: 'ERR_FABRIC_CLOSED' });
    expect(await rejection(a.recv(lease))).toMatchObject({ code: 'ERR_FABRIC_CLOSED' });
    toB.close();
    expect(await rejection(a.send(toB, data))).toMatchObject({ code: 'ERR_FABRIC_CLOSED' });
    expect(await rejection(a.recv(8, { from: toB }))).toMatchObject({ code: 'ERR_FABRIC_CLOSED' });
    expect(() => a.trySend(toB, data)).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' }));
    await a.close();
    const closed = expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' }) as Error;
    for (const call of [
      () => a.send(toB, data),
      () => a.sendTagged(toB, 1, data),
      () => a.sendBatch(toB, [data]),
      () => a.recv(8),
      () => a.recvTagged(1, 8),
      () => a.peers([b.contact]),
    ])
      expect(await rejection(call())).toEqual(closed);
    for (const call of [
      () => a.peer(b.contact),
      () => a.trySend(toB, data),
      () => a.tryRecv(),
      () => a.messages(),
      () => a.poll(),
      () => a.memory.alloc(8),
    ])
      expect(call).toThrow(closed);
  });

  test('options of messages(), memory and close()', async () => {
    const a = await openOne(provider);
    const messages = a.messages.bind(a) as (options: unknown) => unknown;
    expect(() => messages({ batch: 0 })).toThrow(/options.batch must be a whole number from 1/);
    expect(() => messages({ borrow: 1 })).toThrow(/options.borrow must be a boolean/);
    expect(() => messages({ signal: 1 })).toThrow(/options.signal must be an AbortSignal/);
    expect(() => a.memory.alloc(0)).toThrow(/bytes must be a whole number from 1/);
    expect(() => a.memory.alloc(-1)).toThrow(RangeError);
    expect((await rejection(a.memory.register(new Uint8Array(64)))).message).toMatch(
      /memory must be a number of bytes, a Memory, or its bytes/,
    );
    expect((await rejection(a.close({ timeoutMs: -1 }))).message).toMatch(/options.timeoutMs/);
    expect(a.closed).toBe(false);
  });
});

describe('RemoteMemory', () => {
  test('is made of what its JSON says, and no more', async () => {
    const { RemoteMemory } = await import('libfabric');
    const memory = new RemoteMemory(7n, 4096n, 100);
    const copy = RemoteMemory.from(JSON.parse(JSON.stringify(memory)) as never);
    expect(copy).toEqual(memory);
    expect(copy.slice(10, 90)).toMatchObject({ key: 7n, address: 4106n, length: 90 });
    expect(() => copy.slice(10, 91)).toThrow(/length must be at most 90 at offset 10; got 91/);
    expect(() => copy.slice(101, 0)).toThrow(/offset must be a whole number from 0 to 100/);
    expect(() => RemoteMemory.from({ key: 'x', address: '1', length: 1 })).toThrow(
      /from must be what a RemoteMemory's toJSON\(\) or toBytes\(\) gave/,
    );
  });
});
