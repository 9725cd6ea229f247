/** Endpoints of type FI_EP_DGRAM: of udp, and of efa over the software device, where they have a prefix. */
import { describe, expect, it } from 'vitest';
import {
  FI_CONTEXT,
  FI_CONTEXT2,
  FI_MSG_PREFIX,
  FI_SOURCE,
  type Info,
  type Memory,
  getInfo,
} from 'libfabric/fi';
import {
  type FiPair,
  type FiSide,
  introduceSides,
  openOwnSide,
  openSide,
  pattern,
  sameBytes,
} from '../helpers/fi.js';
import { type ProviderUnderTest, providerNames, underTest } from '../helpers/providers.js';

async function datagramInfo(name: string): Promise<Info | undefined> {
  const hints = {
    providerName: name,
    endpointType: 'FI_EP_DGRAM',
    caps: ['FI_MSG', 'FI_SOURCE'],
    mode: FI_CONTEXT | FI_CONTEXT2 | FI_MSG_PREFIX,
    memoryMode: ['FI_MR_LOCAL', 'FI_MR_VIRT_ADDR', 'FI_MR_ALLOCATED', 'FI_MR_PROV_KEY'],
    addressVectorType: 'FI_AV_TABLE',
  };
  const infos = await getInfo(hints, name === 'udp' ? { node: '127.0.0.1', flags: FI_SOURCE } : {});
  return infos.find((info) => info.provider === name);
}

/** Where a message lies that was written behind the prefix. */
interface Datagram {
  memory: Memory;
  /** Bytes with the prefix. */
  whole: number;
}

async function datagramOf(side: FiSide, content: Uint8Array): Promise<Datagram> {
  const prefix = side.info.transmit.messagePrefixSize;
  const memory = await side.memory(prefix + content.byteLength);
  memory.bytes.set(content, prefix);
  return { memory, whole: prefix + content.byteLength };
}

/** Posts a buffer with room for `length` bytes. */
async function receive(
  pair: FiPair,
  side: FiSide,
  length: number,
): Promise<{ memory: Memory; context: number }> {
  const room = side.info.receive.messagePrefixSize + length;
  const memory = await side.memory(room);
  const context = side.context();
  await pair.post('a receive', () => side.endpoint.recv(memory, 0, room, context));
  return { memory, context };
}

/** What a receive got: the bytes behind the prefix, and whom they are from. */
async function arrival(
  pair: FiPair,
  side: FiSide,
  { memory, context }: { memory: Memory; context: number },
): Promise<{ bytes: Uint8Array; source: number }> {
  const { error, length, source } = await pair.completion(side, context);
  expect(error).toBe(0);
  return { bytes: memory.bytes.slice(side.info.receive.messagePrefixSize, length), source };
}

async function send(pair: FiPair, side: FiSide, { memory, whole }: Datagram, peer: number): Promise<void> {
  const context = side.context();
  await pair.post('a send', () => side.endpoint.send(memory, 0, whole, peer, context));
  expect(await pair.completion(side, context)).toMatchObject({ error: 0 });
}

const tooLong = expect.objectContaining({ code: 'FI_EMSGSIZE' });

const efaRuns = providerNames.includes('efa');
for (const name of ['udp', 'efa']) {
  const isWanted = name === 'udp' || efaRuns;
  const info = isWanted ? await datagramInfo(name).catch(() => undefined) : undefined;
  describe(`datagrams on ${name}`, () => {
    if (info !== undefined) suite(underTest(name === 'udp' ? 'udp;ofi_rxd' : name), info);
    else
      it('the whole suite', (test) => {
        test.skip(
          isWanted ? 'the provider has none here' : 'efa runs where LIBFABRIC_TEST_PROVIDERS names it',
        );
      });
  });
}

function suite(provider: ProviderUnderTest, info: Info): void {
  // efa's datagrams have no tags, and its queue no room for them.
  const options = { info, queue: { format: 'FI_CQ_FORMAT_DATA' } } as const;
  const openPair = async (): Promise<FiPair> =>
    introduceSides(await openSide(provider, options), await openSide(provider, options));

  it('have the prefix that the provider asks for', () => {
    expect(info.endpointType).toBe('FI_EP_DGRAM');
    expect(info.maxMessageSize).toBeGreaterThanOrEqual(1024);
    const asks = info.mode.includes('FI_MSG_PREFIX');
    expect(asks).toBe(provider.name === 'efa');
    for (const { messagePrefixSize } of [info.transmit, info.receive])
      expect(messagePrefixSize > 0).toBe(asks);
  });

  it('of each size up to the longest come as they were sent, from whom they are', async () => {
    const pair = await openPair();
    const { a, b, toA, toB } = pair;
    for (const length of [1, 64, 1024, info.maxMessageSize]) {
      const content = pattern(length, length);
      const there = await receive(pair, b, length);
      await send(pair, a, await datagramOf(a, content), toB);
      const { bytes, source } = await arrival(pair, b, there);
      expect(bytes.byteLength).toBe(length);
      expect(sameBytes(bytes, content)).toBe(true);
      expect(source).toBe(toA);
    }
  });

  it('that are too long are refused', async () => {
    const pair = await openPair();
    const { a, b, toB } = pair;
    const { memory, whole } = await datagramOf(a, pattern(info.maxMessageSize + 1));
    expect(() => a.endpoint.send(memory, 0, whole, toB, 0)).toThrow(tooLong);
    // Nothing of it is left behind: the context and the way are free.
    const there = await receive(pair, b, 8);
    await pair.post('a send', () => a.endpoint.send(memory, 0, whole - info.maxMessageSize + 7, toB, 0));
    expect((await arrival(pair, b, there)).bytes.byteLength).toBe(8);
  });

  it('without room for the prefix are refused', async (test) => {
    const prefix = info.transmit.messagePrefixSize;
    if (prefix === 0) test.skip('the provider asks for no prefix');
    const { a, toB } = await openPair();
    const memory = await a.memory(prefix);
    const refused = expect.objectContaining({ message: expect.stringContaining('prefix') });
    expect(() => a.endpoint.send(memory, 0, prefix - 1, toB, 0)).toThrow(refused);
    expect(() => a.endpoint.inject(memory, 0, prefix - 1, toB)).toThrow(refused);
    expect(() => a.endpoint.recv(memory, 0, prefix - 1, 0)).toThrow(refused);
  });

  it('go to whom they are addressed', async () => {
    const pair = await openPair();
    const { a, b, toB } = pair;
    const c = await openSide(provider, options);
    const other = introduceSides(a, c);
    expect(sameBytes(a.addresses.lookup(toB), b.endpoint.getName())).toBe(true);
    expect(a.addresses.toText(b.endpoint.getName())).not.toBe(a.addresses.toText(c.endpoint.getName()));
    const [atB, atC] = [await receive(pair, b, 64), await receive(other, c, 64)];
    await send(pair, a, await datagramOf(a, pattern(10, 2)), toB);
    await send(other, a, await datagramOf(a, pattern(20, 3)), other.toB);
    expect((await arrival(pair, b, atB)).bytes).toEqual(pattern(10, 2));
    expect((await arrival(other, c, atC)).bytes).toEqual(pattern(20, 3));
  });

  it('may be injected, as long as the provider says', async () => {
    const pair = await openPair();
    const { a, b, toB } = pair;
    const long = await datagramOf(a, pattern(info.injectSize + 1));
    expect(() => a.endpoint.inject(long.memory, 0, long.whole, toB)).toThrow(tooLong);
    if (info.injectSize === 0) return;
    const there = await receive(pair, b, 16);
    const { memory, whole } = await datagramOf(a, pattern(16, 5));
    await pair.post('an injection', () => a.endpoint.inject(memory, 0, whole, toB));
    memory.bytes.fill(0, info.transmit.messagePrefixSize);
    expect((await arrival(pair, b, there)).bytes).toEqual(pattern(16, 5));
    expect(a.completed).toEqual([]);
  });

  it('that nobody is there for are lost without an error', async () => {
    const pair = await openPair();
    const { a, b, toB } = pair;
    const gone = await openOwnSide(provider, options);
    const toGone = a.addresses.insert(gone.endpoint.getName());
    await gone.close();
    for (let index = 0; index < 3; index++) await send(pair, a, await datagramOf(a, pattern(32)), toGone);
    const there = await receive(pair, b, 32);
    await send(pair, a, await datagramOf(a, pattern(32, 9)), toB);
    expect((await arrival(pair, b, there)).bytes).toEqual(pattern(32, 9));
    expect([...a.completed, ...b.completed].map(({ error }) => error)).toEqual(Array(5).fill(0));
  });
}
