// Address vectors of type FI_AV_MAP (fi_av(3)), and the numbers that addresses have here.
import { expect, onTestFinished, test } from 'vitest';
import {
  AddressVector,
  CompletionQueue,
  Domain,
  Endpoint,
  EventQueue,
  FI_SOURCE,
  Fabric,
  type FabricObject,
  type Info,
  SharedMemoryName,
  getInfo,
} from 'libfabric/fi';
import { FiPair, FiSide, hintsFor, openSide, pattern, sameBytes } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

const code = (name: string): unknown => expect.objectContaining({ code: name });

async function mapInfo(provider: ProviderUnderTest, node = provider.node): Promise<Info | undefined> {
  const target = node === undefined ? {} : { node, flags: FI_SOURCE };
  const infos = await getInfo({ ...hintsFor(provider), addressVectorType: 'FI_AV_MAP' }, target);
  return infos.find((entry) => entry.provider === provider.name);
}

async function openMapSide(provider: ProviderUnderTest): Promise<FiSide> {
  const opened: FabricObject[] = [];
  const sides: FiSide[] = [];
  onTestFinished(async () => {
    for (const side of sides) await side.close();
    for (const object of opened.reverse()) await object.close();
  });
  const keep = async <T extends FabricObject>(opening: Promise<T>): Promise<T> => {
    const object = await opening;
    opened.push(object);
    return object;
  };
  const name = provider.sharedMemoryFiles ? SharedMemoryName.claim() : undefined;
  const info = (await mapInfo(provider, name?.name ?? provider.node))!;
  const fabric = await keep(Fabric.open(info));
  const domain = await keep(Domain.open(fabric, info));
  const events = await keep(EventQueue.open(fabric));
  const queue = await keep(CompletionQueue.open(domain));
  const addresses = await keep(AddressVector.open(domain, { type: 'FI_AV_MAP' }));
  const endpoint = await keep(Endpoint.open(domain, info));
  for (const other of [events, addresses, queue]) endpoint.bind(other);
  name?.giveTo(endpoint);
  await endpoint.enable();
  const side = new FiSide(provider, info, fabric, domain, events, queue, addresses, endpoint);
  sides.push(side);
  return side;
}

const lacks = async (provider: ProviderUnderTest) =>
  (await mapInfo(provider)) === undefined ? `fi_getinfo lists no ${provider.name} with FI_AV_MAP` : undefined;

describeOnProviders('an address map', { unless: lacks }, (provider) => {
  test('names whom to send to, and who has sent', async () => {
    const a = await openMapSide(provider);
    const b = await openMapSide(provider);
    const toB = a.addresses.insert(b.endpoint.getName());
    const [toA] = await b.addresses.insertMany([a.endpoint.getName()]);
    const pair = new FiPair(a, b, toB, toA);
    const sent = await a.memory(pattern(600));
    const into = await b.memory(4096);
    const received = await pair.transfer(
      (context) => a.endpoint.sendTagged(sent, 0, 600, toB, 9n, context),
      (context) => b.endpoint.recvTagged(into, 0, 4096, 9n, context),
    );
    expect(received).toMatchObject({ error: 0, length: 600 });
    expect([toA, -1]).toContain(received.source);
    expect(sameBytes(into.bytes.subarray(0, 600), pattern(600))).toBe(true);
    const wide = a.addresses.fabricAddress(toB);
    expect(toB < 2 ** 30 ? BigInt(toB) : wide).toBe(wide);
  });

  test('knows a removed address no more', async () => {
    const a = await openMapSide(provider);
    const address = a.addresses.insert(a.endpoint.getName());
    const memory = await a.memory(8);
    a.addresses.remove(address);
    for (const call of [
      () => a.endpoint.send(memory, 0, 8, address, 0),
      () => a.addresses.lookup(address),
      () => a.addresses.fabricAddress(address),
    ])
      expect(call).toThrow(code('ERR_FABRIC_ADDRESS'));
  });
});

describeOnProviders('an address vector with receive contexts', {}, (provider) => {
  test('names them, until their address is removed', async (context) => {
    const { domain, endpoint } = await openSide(provider);
    const opening = AddressVector.open(domain, { receiveContextBits: 3 });
    const addresses = await opening.catch(() => undefined);
    if (addresses === undefined) {
      context.skip(`${provider.name} has no bits for receive contexts`);
      return;
    }
    const base = addresses.insert(endpoint.getName());
    const numbers = Array.from({ length: 8 }, (_, index) => addresses.receiveContext(base, index));
    expect(numbers.map((number) => addresses.fabricAddress(number))).toEqual(
      numbers.map((_, index) => addresses.fabricAddress(base) | (BigInt(index) << 61n)),
    );
    expect(numbers[0]).toBe(base);
    // The same again, and no address of an address.
    expect(addresses.receiveContext(base, 7)).toBe(numbers[7]);
    expect(() => addresses.receiveContext(numbers[7], 1)).toThrow(code('ERR_FABRIC_ADDRESS'));
    expect(() => addresses.receiveContext(base, 8)).toThrow(RangeError);
    expect(() => {
      addresses.remove(numbers[7]);
    }).toThrow(code('ERR_FABRIC_ADDRESS'));
    addresses.remove(base);
    for (const number of numbers)
      expect(() => addresses.fabricAddress(number)).toThrow(code('ERR_FABRIC_ADDRESS'));
    await addresses.close();
  });

  test('refuses types and numbers of bits that there are not', async () => {
    const { domain, addresses, endpoint } = await openSide(provider);
    const wrong = { type: 'FI_AV_HASH' as 'FI_AV_MAP' };
    await expect(AddressVector.open(domain, wrong)).rejects.toThrow(RangeError);
    await expect(AddressVector.open(domain, { receiveContextBits: 9 })).rejects.toThrow(RangeError);
    const address = addresses.insert(endpoint.getName());
    expect(() => addresses.receiveContext(address, 0)).toThrow(RangeError);
    expect(() => addresses.fabricAddress(address + 1000)).toThrow(code('ERR_FABRIC_ADDRESS'));
  });
});

describeOnProviders('authorization keys and user IDs of addresses', {}, (provider) => {
  test('are refused where the provider has none', async () => {
    const { addresses, endpoint } = await openSide(provider);
    const address = addresses.insert(endpoint.getName());
    for (const call of [
      () => addresses.insertAuthKey(Uint8Array.of(1, 2, 3, 4)),
      () => addresses.lookupAuthKey(address),
      () => {
        addresses.setUserId(address, 5);
      },
    ])
      expect(call).toThrow(code('ERR_FABRIC_UNSUPPORTED'));
    expect(() => addresses.lookupAuthKey(address + 1000)).toThrow(code('ERR_FABRIC_ADDRESS'));
    expect(() => {
      addresses.setUserId(address, -1n);
    }).toThrow(RangeError);
    expect(() => {
      addresses.setUserId(address, 2 ** 30);
    }).toThrow(RangeError);
    expect(() => addresses.insertAuthKey(new Uint8Array(0))).toThrow(RangeError);
  });
});
