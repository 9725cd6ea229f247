/** What read(), write() and register() refuse, before anything reaches the provider; RemoteMemory's own checks. */
import { describe, expect, test } from 'vitest';
import { type Endpoint, type Operations, type Peer, RemoteMemory, type WriteOptions } from 'libfabric';
import { Memory } from 'libfabric/fi';
import { rejection } from '../helpers/everyday.js';
import { type ProviderUnderTest, describeOnProviders, openPair } from '../helpers/providers.js';

interface Opened {
  a: Endpoint & Operations<readonly ['rma']>;
  b: Endpoint & Operations<readonly ['rma']>;
  toB: Peer;
  toA: Peer;
  remote: RemoteMemory;
}

async function openWith(provider: ProviderUnderTest): Promise<Opened> {
  const pair = await openPair(provider, { features: ['rma'] });
  const { remote } = await pair.b.memory.register(64, ['remoteRead', 'remoteWrite']);
  return { ...pair, remote };
}

function detached(): Uint8Array {
  const bytes = new Uint8Array(8);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

const data = new Uint8Array(8);

const wrong: readonly [string, (opened: Opened) => Promise<unknown>, RegExp][] = [
  [
    'text to write',
    ({ a, toB, remote }) => a.write(toB, 'text' as never, remote),
    /^data must be a Uint8Array/,
  ],
  [
    'a detached buffer to write',
    ({ a, toB, remote }) => a.write(toB, detached(), remote),
    /^data .* detached/,
  ],
  [
    'a detached buffer to read into',
    ({ a, toB, remote }) => a.read(toB, detached(), remote),
    /^into .* detached/,
  ],
  [
    'a Lease of the other endpoint',
    ({ a, b, toB, remote }) => a.write(toB, b.memory.alloc(8), remote),
    /^data must be a Lease of this endpoint/,
  ],
  ['half a byte to read', ({ a, toB, remote }) => a.read(toB, 0.5, remote), /^into must be a whole number/],
  [
    'a contact for a peer',
    ({ a, b, remote }) => a.write(b.contact as never, data, remote),
    /^peer must be a Peer;/,
  ],
  [
    "the other's peer",
    ({ a, toA, remote }) => a.read(toA, 8, remote),
    /^peer must be a Peer of this endpoint/,
  ],
  [
    'no memory',
    ({ a, toB }) => a.write(toB, data, undefined as never),
    /^remote must be a RemoteMemory; got undefined/,
  ],
  [
    'null for memory',
    ({ a, toB }) => a.read(toB, 8, null as never),
    /^remote must be a RemoteMemory; got null/,
  ],
  [
    'JSON for memory',
    ({ a, toB, remote }) => a.read(toB, 8, remote.toJSON() as never),
    /^remote must be a RemoteMemory; .*RemoteMemory.from\(\)/,
  ],
  [
    'a negative address',
    ({ a, toB }) => a.read(toB, 8, { key: 1n, address: -1n, length: 8 }),
    /^address must be from 0n/,
  ],
  [
    'more than there is to write to',
    ({ a, toB, remote }) => a.write(toB, new Uint8Array(65), remote),
    /^remote.length must be at least 65, the bytes of the operation; got 64/,
  ],
  [
    'more than there is to read',
    ({ a, toB, remote }) => a.read(toB, 9, remote.slice(56, 8)),
    /^remote.length must be at least 9/,
  ],
  [
    'to write what may only be read',
    ({ a, toB, remote }) =>
      a.write(toB, data, new RemoteMemory(remote.key, remote.address, remote.length, { writable: false })),
    /^remote must be writable; got .*\. Its owner has to register it with 'remoteWrite'/,
  ],
  [
    'to read what may only be written',
    ({ a, toB, remote }) =>
      a.read(toB, 8, new RemoteMemory(remote.key, remote.address, remote.length, { readable: false })),
    /^remote must be readable/,
  ],
  [
    'a level that is none',
    ({ a, toB, remote }) => a.write(toB, data, remote, { completion: 'soon' as never }),
    /^options.completion must be 'buffer', 'transmit' or 'delivery'/,
  ],
  [
    'a timeout of text',
    ({ a, toB, remote }) => a.read(toB, 8, remote, { timeoutMs: '5' as never }),
    /^options.timeoutMs must be a number/,
  ],
  ['to register nothing', ({ b }) => b.memory.register(0), /^memory must be a whole number from 1/],
  [
    "to register the program's own buffer",
    ({ b }) => b.memory.register(data),
    /^memory must be a number of bytes, a Memory, or its bytes; .*may move/,
  ],
  [
    'to register a part of a Memory',
    ({ b }) => b.memory.register(Memory.allocate(4096).bytes.subarray(0, 64)),
    /^memory must be all the bytes of a Memory: its `bytes`; .*slice\(\)/,
  ],
  [
    'to register a Lease, behind which others lie',
    ({ b }) => b.memory.register(b.memory.alloc(64).data, ['remoteWrite']),
    /^memory must be all the bytes of a Memory/,
  ],
  [
    'to register a Lease of a whole slab, which serves others after it',
    ({ b }) => b.memory.register(b.memory.alloc(1 << 20).data),
    /^memory must be all the bytes of a Memory/,
  ],
  ['to register text', ({ b }) => b.memory.register('64' as never), /^memory must be a number of bytes/],
  [
    'an unknown access',
    ({ b }) => b.memory.register(64, ['remote'] as never),
    /^access must be one of send, recv, read, write, remoteRead, remoteWrite; got 'remote'/,
  ],
  [
    'access as text',
    ({ b }) => b.memory.register(64, 'remoteRead' as never),
    /^access must be a bigint of flags/,
  ],
];

describeOnProviders('one-sided calls refuse', { features: ['rma'] }, (provider) => {
  test('what cannot be meant, before anything is done', async () => {
    const opened = await openWith(provider);
    for (const [what, call, message] of wrong) {
      const error = await rejection(call(opened));
      expect([what, error instanceof TypeError || error instanceof RangeError]).toEqual([what, true]);
      expect(error.message).toMatch(message);
    }
    expect(opened.a.stats()).toMatchObject({
      writes: 0,
      reads: 0,
      sendsInFlight: 0,
      sendsWaiting: 0,
      errors: 0,
    });
  });

  test('immediate data, which a write does not carry', async () => {
    const { a, toB, remote } = await openWith(provider);
    const options = { immediate: 1n } as WriteOptions;
    expect(await rejection(a.write(toB, data, remote, options))).toMatchObject({
      code: 'ERR_FABRIC_UNSUPPORTED',
      message: 'write() carries no immediate data: send() a message behind it',
    });
    expect(a.stats()).toMatchObject({ writes: 0, sendsWaiting: 0 });
  });

  test('a Lease that is in use, and give it back', async () => {
    const { a, b, toA, toB, remote } = await openWith(provider);
    const lease = a.memory.alloc(8);
    // In use until its message comes; a read may be done before it has returned.
    const received = a.recv(lease);
    const busy = [a.read(toB, lease, remote.slice(0, 8)), a.write(toB, lease, remote.slice(0, 8))].map(
      rejection,
    );
    for (const error of await Promise.all(busy)) expect(error).toHaveProperty('code', 'ERR_FABRIC_BUSY');
    await b.send(toA, data);
    await received;
    await a.read(toB, lease, remote.slice(0, 8));
    await a.write(toB, lease, remote.slice(0, 8));
    lease[Symbol.dispose]();
    expect(await rejection(a.write(toB, lease, remote))).toHaveProperty('code', 'ERR_FABRIC_CLOSED');
  });

  test('a peer that was closed', async () => {
    const { a, toB, remote } = await openWith(provider);
    toB.close();
    expect(await rejection(a.read(toB, 8, remote))).toHaveProperty('code', 'ERR_FABRIC_CLOSED');
    expect(await rejection(a.write(toB, data, remote))).toHaveProperty('code', 'ERR_FABRIC_CLOSED');
  });
});

describe('RemoteMemory', () => {
  const remote = new RemoteMemory(0xffff_ffff_ffff_ffffn, 0x7f00_1234_5678n, 4096, { writable: false });

  test('is the same after JSON and bytes', () => {
    const json = JSON.stringify(remote);
    expect(json).toBe(
      '{"key":"18446744073709551615","address":"139638282147448","length":4096,"writable":false}',
    );
    expect(RemoteMemory.from(JSON.parse(json) as never)).toEqual(remote);
    expect(RemoteMemory.from(remote.toBytes())).toEqual(remote);
    // Somewhere in a message.
    const message = Buffer.concat([Buffer.from('head'), remote.toBytes()]);
    expect(RemoteMemory.from(message.subarray(4))).toEqual(remote);
    const open = new RemoteMemory(1n, 0n, 8);
    expect(open.toJSON()).toEqual({ key: '1', address: '0', length: 8 });
    expect(RemoteMemory.from(open.toJSON())).toEqual(open);
  });

  test('keeps what is allowed in its parts', () => {
    const part = remote.slice(16, 32);
    expect(part).toMatchObject({
      address: remote.address + 16n,
      length: 32,
      readable: true,
      writable: false,
    });
    expect(() => remote.slice(4000, 100)).toThrow(/length must be at most 96 at offset 4000/);
  });

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['text', '{}'],
    ['an empty object', {}],
    ['numbers for text', { key: 1, address: 0, length: 8 }],
    ['a key of hexadecimal digits', { key: '0x10', address: '0', length: 8 }],
    ['a negative key', { key: '-1', address: '0', length: 8 }],
    ['a key of 65 bits', { key: '18446744073709551616', address: '0', length: 8 }],
    ['a key without end', { key: '1'.repeat(1_000_000), address: '0', length: 8 }],
    ['a length of text', { key: '1', address: '0', length: '8' }],
    ['a negative length', { key: '1', address: '0', length: -1 }],
    ['too few bytes', remote.toBytes().subarray(1)],
    ['bytes of another format', new Uint8Array(32)],
    ['a length above all numbers', remote.toBytes().fill(0xff, 24)],
  ])('does not take %s', (_what, value) => {
    const error = ((): unknown => {
      try {
        return RemoteMemory.from(value as never);
      } catch (reason) {
        return reason;
      }
    })();
    expect(error).toSatisfy((reason) => reason instanceof TypeError || reason instanceof RangeError);
  });
});
