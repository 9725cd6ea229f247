import { expect, it } from 'vitest';
import { AddressVector } from 'libfabric/fi';
import { FI_EADDRNOTAVAIL } from '../../src/fi/errno.js';
import { type FiSide, openSide, openSides } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

const addressError = expect.objectContaining({ code: 'ERR_FABRIC_ADDRESS' });

/** rxd looks an address up only once a message went to it. */
const knowsAtOnce = ({ name }: ProviderUnderTest): boolean => name !== 'udp;ofi_rxd';

describeOnProviders('AddressVector', {}, (provider) => {
  // shm of libfabric 2.x gives its names back without the 'fi_shm://' that they begin with.
  const comparable = (bytes: Uint8Array): string =>
    provider.ip
      ? Buffer.from(bytes).toString('hex')
      : Buffer.from(bytes)
          .toString()
          .replace(/^\w+:\/\//, '');

  const expectLookup = ({ addresses }: FiSide, address: number, bytes: Uint8Array): void => {
    if (knowsAtOnce(provider)) expect(comparable(addresses.lookup(address))).toBe(comparable(bytes));
    else expect(() => addresses.lookup(address)).toThrow(expect.objectContaining({ code: 'FI_ENODATA' }));
  };

  it('ends what it is inserting when it closes', async () => {
    const { domain, endpoint } = await openSide(provider);
    const many = Array.from({ length: 500 }, () => endpoint.getName());
    for (let round = 0; round < 20; round++) {
      const addresses = await AddressVector.open(domain);
      const inserting = addresses.insertMany(many).catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'ERR_FABRIC_CLOSED' });
      });
      await addresses.close();
      await inserting;
    }
  });

  it('answers small whole numbers, and gives the bytes back', async () => {
    const { a, b, toB } = await openSides(provider);
    const name = b.endpoint.getName();
    expect(Number.isInteger(toB)).toBe(true);
    expect(toB).toBeGreaterThanOrEqual(0);
    expectLookup(a, toB, name);
  });

  it('copies the bytes that it is given', async () => {
    const { a, b } = await openSides(provider);
    const bytes = b.endpoint.getName();
    const original = bytes.slice();
    const address = a.addresses.insert(bytes);
    bytes.fill(0xff);
    expectLookup(a, address, original);
  });

  it('takes a view into the middle of a buffer', async () => {
    const { a, b } = await openSides(provider);
    const bytes = b.endpoint.getName();
    const larger = new Uint8Array(bytes.length + 20).fill(0xcc);
    larger.set(bytes, 7);
    const address = a.addresses.insert(larger.subarray(7, 7 + bytes.length));
    expectLookup(a, address, bytes);
  });

  it('gives every address as readable text', async () => {
    const { a, b } = await openSides(provider);
    const text = a.addresses.toText(b.endpoint.getName());
    const forms = provider.sharedMemoryFiles ? /^fi_shm:\/\// : /^fi_addr_efa:\/\/\[[0-9a-f:]+\]:\d+:\d+$/;
    expect(text).toMatch(provider.ip ? /^(fi_sockaddr_in:\/\/)?127\.0\.0\.1:\d+$/ : forms);
    expect(a.addresses.toText(a.endpoint.getName())).not.toBe(text);
  });

  it('inserts many at once, in order', async () => {
    const { a, b } = await openSides(provider);
    const names = [a.endpoint.getName(), b.endpoint.getName(), a.endpoint.getName()];
    const addresses = await a.addresses.insertMany(names);
    expect(addresses).toHaveLength(3);
    if (knowsAtOnce(provider))
      addresses.forEach((address, index) => {
        expectLookup(a, address, names[index]);
      });
    expect(await a.addresses.insertMany([])).toEqual([]);
  });

  it('forgets what is removed, and refuses it from then on', async () => {
    const { a, b } = await openSides(provider);
    const [address] = await a.addresses.insertMany([b.endpoint.getName()]);
    const memory = await a.memory(8);
    a.addresses.remove(address);
    expect(() => a.addresses.lookup(address)).toThrow(addressError);
    expect(() => a.addresses.remove(address)).toThrow(addressError);
    expect(() => a.endpoint.send(memory, 0, 8, address, 0)).toThrow(addressError);
    expect(() => a.endpoint.recv(memory, 0, 8, 0, address)).toThrow(addressError);
  });

  it('can insert again what was removed', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const name = b.endpoint.getName();
    a.addresses.remove(toB);
    const again = a.addresses.insert(name);
    expectLookup(a, again, name);
    const from = await a.memory(8);
    const into = await b.memory(8);
    const completed = await pair.transfer(
      (context) => a.endpoint.send(from, 0, 8, again, context),
      (context) => b.endpoint.recv(into, 0, 8, context),
    );
    expect(completed).toMatchObject({ error: 0, length: 8 });
  });

  it.each([-1, -2, 1000, 2 ** 31 - 1, 2 ** 31, 2 ** 40, 0.5, Number.NaN])(
    'refuses the unknown address %d',
    async (address) => {
      const { a } = await openSides(provider);
      const memory = await a.memory(8);
      expect(() => a.endpoint.send(memory, 0, 8, address, 0)).toThrow(addressError);
      expect(() => a.endpoint.inject(memory, 0, 8, address)).toThrow(addressError);
      expect(() => a.endpoint.sendTagged(memory, 0, 8, address, 1n, 0)).toThrow(addressError);
      expect(() => a.endpoint.injectTagged(memory, 0, 8, address, 1n)).toThrow(addressError);
      if (address !== -1) {
        expect(() => a.endpoint.recv(memory, 0, 8, 0, address)).toThrow(addressError);
        expect(() => a.endpoint.recvTagged(memory, 0, 8, 1n, 0, 0n, address)).toThrow(addressError);
      }
      expect(() => a.addresses.lookup(address)).toThrow();
      expect(() => {
        a.addresses.remove(address);
      }).toThrow();
    },
  );

  it('refuses what is no address, before the provider sees it', async () => {
    const { a } = await openSides(provider);
    for (const wrong of [undefined, null, 'shm', 5, [1, 2], new ArrayBuffer(16), new Uint16Array(8)]) {
      expect(() => a.addresses.insert(wrong as unknown as Uint8Array)).toThrow(TypeError);
      expect(() => a.addresses.toText(wrong as unknown as Uint8Array)).toThrow(TypeError);
      await expect(a.addresses.insertMany([wrong as unknown as Uint8Array])).rejects.toThrow(TypeError);
    }
    expect(() => a.addresses.insert(new Uint8Array(0))).toThrow(RangeError);
    expect(await a.addresses.insertMany([new Uint8Array(0)])).toEqual([-FI_EADDRNOTAVAIL]);
    for (const wrong of ['0', undefined, null, 0n, {}]) {
      expect(() => a.addresses.lookup(wrong as number)).toThrow(TypeError);
      expect(() => {
        a.addresses.remove(wrong as number);
      }).toThrow(TypeError);
    }
  });

  it('refuses a view of a detached buffer', async () => {
    const { a, b } = await openSides(provider);
    const bytes = b.endpoint.getName();
    structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
    expect(() => a.addresses.insert(bytes)).toThrow(TypeError);
    expect(() => a.addresses.toText(bytes)).toThrow(TypeError);
  });

  it('takes an address that lies in the midst of a buffer, as those of Buffer.from() do', async () => {
    const { a, b } = await openSides(provider);
    const bytes = b.endpoint.getName();
    const room = Buffer.alloc(bytes.length + 48, 0x2f);
    room.set(bytes, 24);
    expect(a.addresses.insert(room.subarray(24, 24 + bytes.length))).toBeGreaterThanOrEqual(0);
  });

  it.each([0, 1, 100])('opens for %i addresses', async (count) => {
    const { domain } = await openSide(provider);
    const addresses = await AddressVector.open(domain, { count });
    await addresses.close();
    expect(addresses.closed).toBe(true);
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 25])('does not open for %d addresses', async (count) => {
    const { domain } = await openSide(provider);
    await expect(AddressVector.open(domain, { count })).rejects.toThrow(RangeError);
  });
});

describeOnProviders(
  'AddressVector with IP addresses',
  { unless: ({ ip }) => (ip ? undefined : 'the provider has no IP addresses') },
  (provider) => {
    const familyUnknown = (bytes: Uint8Array): Uint8Array => Uint8Array.from([0x7f, 0, ...bytes.subarray(2)]);
    const noFamily = (bytes: Uint8Array): Uint8Array => Uint8Array.from([0, 0, ...bytes.subarray(2)]);
    const ipv6 = (bytes: Uint8Array): Uint8Array => Uint8Array.from([10, 0, ...bytes.subarray(2)]);
    const shorter = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, -1);
    const longer = (bytes: Uint8Array): Uint8Array => Uint8Array.from([...bytes, 0]);
    const oneByte = (): Uint8Array => Uint8Array.from([2]);

    it.each([
      ['an unknown family', familyUnknown],
      ['no family', noFamily],
      ['another family', ipv6],
      ['a byte less', shorter],
      ['a byte more', longer],
      ['one byte only', oneByte],
    ])('refuses bytes with %s, and takes good ones afterwards', async (_, spoil) => {
      const pair = await openSides(provider);
      const { a, b } = pair;
      const name = b.endpoint.getName();
      const bad = spoil(name);
      expect(() => a.addresses.insert(bad)).toThrow(addressError);
      expect(await a.addresses.insertMany([bad, bad])).toEqual([-FI_EADDRNOTAVAIL, -FI_EADDRNOTAVAIL]);
      // Another endpoint must not be mistaken for the one that is known.
      const own = a.addresses.insert(a.endpoint.getName());
      const [first, refused, second] = await a.addresses.insertMany([name, bad, name]);
      expect(refused).toBe(-FI_EADDRNOTAVAIL);
      expect(own).not.toBe(first);
      expect(second).toBeGreaterThanOrEqual(0);
      const from = await a.memory(8);
      const into = await b.memory(8);
      const completed = await pair.transfer(
        (context) => a.endpoint.send(from, 0, 8, second, context),
        (context) => b.endpoint.recv(into, 0, 8, context),
      );
      expect(completed).toMatchObject({ error: 0, length: 8 });
    });

    it('says what the provider says of an address that cannot be one of a peer', async () => {
      const { a, b } = await openSides(provider);
      const name = b.endpoint.getName();
      const withoutPort = Uint8Array.from([...name.subarray(0, 2), 0, 0, ...name.subarray(4)]);
      const refusal = expect.objectContaining({ call: 'fi_av_insert', code: 'FI_EADDRNOTAVAIL' });
      expect(() => a.addresses.insert(withoutPort)).toThrow(refusal);
      const results = await a.addresses.insertMany([name, withoutPort, name]);
      expect(results.map((address) => address >= 0)).toEqual([true, false, true]);
    });

    it('takes thousands of addresses', async () => {
      const { a, b } = await openSides(provider);
      const name = b.endpoint.getName();
      // rxd never comes back from fi_close of an address vector with more than 1024.
      const count = knowsAtOnce(provider) ? 3000 : 1000;
      const many = Array.from({ length: count }, (_, index) => {
        const bytes = name.slice();
        new DataView(bytes.buffer).setUint16(2, 1024 + index);
        return bytes;
      });
      const results = await a.addresses.insertMany(many);
      expect(results).toHaveLength(count);
      expect(results.every((address) => address >= 0)).toBe(true);
      expect(new Set(results).size).toBe(count);
      if (knowsAtOnce(provider)) expect(a.addresses.lookup(results[count - 1])).toEqual(many[count - 1]);
    });
  },
);
