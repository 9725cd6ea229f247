import { expect, it, onTestFinished } from 'vitest';
import * as fi from 'libfabric/fi';
import { type FiSide, infoFor, openOwnSide, openSide, turn } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

const BOUND_MS = 15_000;
const MEMBERS = 3;
const unsupported = expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED' });
const caps = ['FI_MSG', 'FI_TAGGED', 'FI_COLLECTIVE'];

/** Endpoints that all know each other, by the same addresses, and a group of all of them. */
class Members {
  constructor(
    readonly sides: readonly FiSide[],
    readonly sets: readonly fi.AddressVectorSet[],
    readonly groups: readonly fi.CollectiveGroup[],
  ) {}

  async until(what: string, isSo: () => boolean): Promise<void> {
    const deadline = Date.now() + BOUND_MS;
    for (;;) {
      for (const side of this.sides) side.read();
      if (isSo()) return;
      if (Date.now() > deadline) throw new Error(`${what}: not within ${BOUND_MS} ms`);
      await turn(this.sides[0].provider);
    }
  }

  /** Has each member make a call, and waits until all have completed. */
  async make(call: (side: FiSide, group: fi.CollectiveGroup, rank: number, context: number) => boolean) {
    const contexts = this.sides.map((side) => side.context());
    for (const [rank, side] of this.sides.entries()) {
      const group = this.groups[rank];
      await this.until('room', () => call(side, group, rank, contexts[rank]));
    }
    await this.until('all completions', () =>
      this.sides.every((side, rank) => side.of(contexts[rank]) !== undefined),
    );
    for (const [rank, side] of this.sides.entries()) expect(side.of(contexts[rank])!.error).toBe(0);
  }

  async close(): Promise<void> {
    for (const object of [...this.groups, ...this.sets]) await object.close();
  }
}

/** Sides that all know each other: the address of each is its place. */
async function acquainted(provider: ProviderUnderTest, count = MEMBERS): Promise<FiSide[]> {
  const sides: FiSide[] = [];
  for (let index = 0; index < count; index++) sides.push(await openSide(provider, { caps }));
  const names = sides.map(({ endpoint }) => endpoint.getName());
  for (const { addresses } of sides)
    expect(names.map((name) => addresses.insert(name))).toEqual(names.map((_, index) => index));
  return sides;
}

/** A group of all sides, each with its own set of all. */
async function join(sides: readonly FiSide[], sets: readonly fi.AddressVectorSet[]): Promise<Members> {
  const groups = await Promise.all(sides.map(({ endpoint }, rank) => endpoint.joinCollective(sets[rank])));
  const members = new Members(sides, sets, groups);
  // Before the sides close; where the test has closed them, nothing is left to do.
  onTestFinished(() => members.close());
  const joined = new Set<number>();
  await members.until('all have joined', () => {
    for (const [rank, { events }] of sides.entries()) {
      const event = events.read();
      if (event === undefined) continue;
      expect(event).toMatchObject({ name: 'FI_JOIN_COMPLETE', error: 0 });
      expect(event.source).toBe(groups[rank]);
      joined.add(rank);
    }
    return joined.size === sides.length;
  });
  return members;
}

async function joinAll(provider: ProviderUnderTest): Promise<Members> {
  const sides = await acquainted(provider);
  const sets: fi.AddressVectorSet[] = [];
  for (const { addresses } of sides)
    sets.push(await fi.AddressVectorSet.open(addresses, { end: MEMBERS - 1 }));
  return join(sides, sets);
}

async function noCollectives(provider: ProviderUnderTest): Promise<string | undefined> {
  try {
    await infoFor(provider, caps);
    return undefined;
  } catch {
    return `${provider.name} has no collectives`;
  }
}

const numbers = (memory: fi.Memory) => new BigUint64Array(memory.bytes.buffer, memory.bytes.byteOffset, 64);

describeOnProviders('collective operations', { unless: noCollectives }, (provider) => {
  it('are made by all members of a group', async () => {
    const members = await joinAll(provider);
    const memories = await Promise.all(members.sides.map((side) => side.memory(512)));
    await members.make((side, group, rank, context) => side.endpoint.barrier(group, memories[rank], context));

    for (const [rank, memory] of memories.entries())
      numbers(memory).set([BigInt(rank + 1), BigInt(10 * rank)]);
    const data = { offset: 0, resultOffset: 256, count: 2, datatype: 'FI_UINT64' } as const;
    await members.make(({ endpoint }, group, rank, context) =>
      endpoint.allreduce(group, { ...data, memory: memories[rank] }, 'FI_SUM', context),
    );
    for (const memory of memories) expect([...numbers(memory).subarray(32, 34)]).toEqual([6n, 30n]);

    await members.make(({ endpoint }, group, rank, context) =>
      endpoint.allgather(group, { ...data, memory: memories[rank] }, context),
    );
    for (const memory of memories)
      expect([...numbers(memory).subarray(32, 38)]).toEqual([1n, 0n, 2n, 10n, 3n, 20n]);

    numbers(memories[0]).set([100n, 101n, 102n, 103n, 104n, 105n]);
    await members.make(({ endpoint }, group, rank, context) =>
      endpoint.scatter(group, { ...data, memory: memories[rank] }, 0, context),
    );
    for (const [rank, memory] of memories.entries())
      expect([...numbers(memory).subarray(32, 34)]).toEqual([
        100n + 2n * BigInt(rank),
        101n + 2n * BigInt(rank),
      ]);

    numbers(memories[0]).set([7n, 8n, 9n]);
    await members.make(({ endpoint }, group, rank, context) =>
      endpoint.broadcast(group, { ...data, count: 3, memory: memories[rank] }, 0, context),
    );
    for (const memory of memories) expect([...numbers(memory).subarray(0, 3)]).toEqual([7n, 8n, 9n]);
    await members.close();
  });

  it('are made while an engine makes progress', async () => {
    const members = await joinAll(provider);
    const { sides } = members;
    const memories = await Promise.all(sides.map((side) => side.memory(512)));
    const engines = sides.map(({ queue }) =>
      fi.Engine.start(queue, { mode: 'thread', onReadable: () => undefined }),
    );
    onTestFinished(() => {
      for (const engine of engines) engine.stop();
    });
    const data = { resultOffset: 256, count: 1, datatype: 'FI_UINT64' } as const;
    for (let round = 0n; round < 200n; round++) {
      for (const [rank, memory] of memories.entries()) numbers(memory)[0] = round + BigInt(rank);
      await members.make(({ endpoint }, group, rank, context) =>
        endpoint.allreduce(group, { ...data, memory: memories[rank] }, 'FI_SUM', context),
      );
      for (const memory of memories) expect(numbers(memory)[32]).toBe(3n * round + 3n);
    }
    for (const engine of engines) engine.stop();
    await members.close();
  });

  it('that the provider lacks are refused, and so is what is wrong', async () => {
    const members = await joinAll(provider);
    const { sides, sets, groups } = members;
    const { endpoint, domain } = sides[0];
    const group = groups[0];
    const memory = await sides[0].memory(4096);
    const data = { memory, count: 2, datatype: 'FI_UINT64', resultOffset: 2048 } as const;
    expect(domain.queryCollective('FI_BARRIER')).toBeGreaterThanOrEqual(MEMBERS);
    expect(domain.queryCollective('FI_ALLREDUCE', 'FI_UINT64', 'FI_SUM')).toBeGreaterThanOrEqual(MEMBERS);
    for (const name of ['FI_ALLTOALL', 'FI_REDUCE_SCATTER', 'FI_REDUCE', 'FI_GATHER'] as const)
      expect(domain.queryCollective(name, 'FI_UINT64', 'FI_SUM')).toBeUndefined();
    expect(() => endpoint.alltoall(group, data, 0)).toThrow(unsupported);
    expect(() => endpoint.reduceScatter(group, data, 'FI_SUM', 0)).toThrow(unsupported);
    expect(() => endpoint.reduce(group, data, 0, 'FI_SUM', 0)).toThrow(unsupported);
    expect(() => endpoint.gather(group, data, 0, 0)).toThrow(unsupported);
    // Providers take these, and then crash, never complete, or move nothing.
    expect(() => endpoint.allreduce(group, { ...data, datatype: 'FI_DOUBLE' }, 'FI_BOR', 0)).toThrow(
      unsupported,
    );
    expect(() => endpoint.allreduce(group, data, 'FI_CSWAP', 0)).toThrow(unsupported);
    for (const datatype of [16, 300] as unknown as fi.Datatype[]) {
      expect(() => endpoint.allreduce(group, { ...data, datatype }, 'FI_SUM', 0)).toThrow(unsupported);
      expect(() => endpoint.allgather(group, { ...data, datatype }, 0)).toThrow(unsupported);
    }

    const outside = expect.objectContaining({ code: 'FI_EINVAL' });
    expect(() => endpoint.allgather(group, { ...data, count: 100 }, 0)).toThrow(outside);
    expect(() => endpoint.allreduce(group, { ...data, offset: 4088 }, 'FI_SUM', 0)).toThrow(outside);
    expect(() => endpoint.allreduce(group, { ...data, offset: 4 }, 'FI_SUM', 0)).toThrow(outside);
    // Three parts of 171 elements do not fit, though 512 elements do.
    expect(() => endpoint.broadcast(group, { ...data, count: 512 }, 0, 0)).toThrow(outside);
    expect(() => endpoint.broadcast(group, data, 99, 0)).toThrow(
      expect.objectContaining({ code: 'ERR_FABRIC_ADDRESS' }),
    );
    expect(() => endpoint.barrier(sets[0] as unknown as fi.CollectiveGroup, memory, 0)).toThrow(TypeError);
    // The group of another endpoint.
    expect(() => endpoint.barrier(groups[1], memory, 0)).toThrow(
      expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' }),
    );
    expect(() => {
      sets[0].insert(0);
    }).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_BUSY' }));
    await expect(sets[0].close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
    expect(() => {
      sides[0].addresses.remove(1);
    }).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_BUSY' }));
    await members.close();
  });
});

describeOnProviders('joining', { unless: noCollectives }, (provider) => {
  /** One endpoint, and a set of it alone. */
  async function alone(side: FiSide): Promise<fi.AddressVectorSet> {
    side.addresses.insert(side.endpoint.getName());
    return fi.AddressVectorSet.open(side.addresses, { end: 0 });
  }

  it('is told with the group, also before the call is over', async () => {
    const side = await openSide(provider, { caps });
    const set = await alone(side);
    const joining = side.endpoint.joinCollective(set);
    // Nothing that was promised is kept meanwhile.
    let event: fi.FabricEvent | undefined;
    for (const deadline = Date.now() + BOUND_MS; event === undefined && Date.now() < deadline;) {
      side.read();
      event = side.events.read();
    }
    expect(event).toMatchObject({ name: 'FI_JOIN_COMPLETE', error: 0 });
    const group = await joining;
    expect(event!.source).toBe(group);
    expect(group.members).toEqual(set.members);
    expect(group.members).toHaveLength(1);
    await group.close();
    await set.close();
  });

  it('comes to an end where the endpoint is closed at once', async () => {
    for (let round = 0; round < 10; round++) {
      const side = await openOwnSide(provider, { caps });
      const set = await alone(side);
      const joining = side.endpoint.joinCollective(set);
      await side.endpoint.close();
      const group = await joining.catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'ERR_FABRIC_CLOSED' });
      });
      await group?.close();
      await set.close();
      await side.close();
    }
  });

  it('asks for an EventQueue', async () => {
    const info = await infoFor(provider, caps);
    await using fabric = await fi.Fabric.open(info);
    await using domain = await fi.Domain.open(fabric, info);
    await using queue = await fi.CompletionQueue.open(domain);
    await using addresses = await fi.AddressVector.open(domain);
    await using endpoint = await fi.Endpoint.open(domain, info);
    endpoint.bind(queue);
    endpoint.bind(addresses);
    await endpoint.enable();
    addresses.insert(endpoint.getName());
    await using set = await fi.AddressVectorSet.open(addresses, { end: 0 });
    await expect(endpoint.joinCollective(set)).rejects.toMatchObject({
      code: 'FI_ENOEQ',
      message: expect.stringContaining('bind an EventQueue') as string,
    });
  });
});

describeOnProviders('groups of some', { unless: noCollectives }, (provider) => {
  it('have the members that are left of a set, by rank', async () => {
    const sides = await acquainted(provider, 4);
    const wanted = [1, 3, 0];
    const sets: fi.AddressVectorSet[] = [];
    for (const { addresses } of wanted.map((address) => sides[address])) {
      const set = await fi.AddressVectorSet.open(addresses, { end: 3 });
      const even = await fi.AddressVectorSet.open(addresses, { end: 3, stride: 2 });
      const turned = await fi.AddressVectorSet.open(addresses);
      set.diff(even);
      expect(set.members).toEqual([1, 3]);
      set.insert(0);
      for (const address of [3, 0, 1]) turned.insert(address);
      set.intersect(turned);
      expect(set.members).toEqual(wanted);
      await even.close();
      await turned.close();
      sets.push(set);
    }
    const joined = wanted.map((address) => sides[address]);
    const members = await join(joined, sets);
    const memories = await Promise.all(joined.map((side) => side.memory(512)));
    for (const [rank, memory] of memories.entries()) numbers(memory)[0] = BigInt(100 + wanted[rank]);
    const data = { resultOffset: 256, count: 1, datatype: 'FI_UINT64' } as const;
    await members.make(({ endpoint }, group, rank, context) =>
      endpoint.allgather(group, { ...data, memory: memories[rank] }, context),
    );
    for (const memory of memories) expect([...numbers(memory).subarray(32, 35)]).toEqual([101n, 103n, 100n]);
    // The root, by its address, has another rank.
    await members.make(({ endpoint }, group, rank, context) =>
      endpoint.broadcast(group, { ...data, memory: memories[rank] }, 3, context),
    );
    for (const memory of memories) expect(numbers(memory)[0]).toBe(103n);
    expect(() =>
      members.sides[0].endpoint.broadcast(members.groups[0], { ...data, memory: memories[0] }, 2, 0),
    ).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_ADDRESS' }));
    await members.close();
  });
});

describeOnProviders('sets of addresses', { unless: noCollectives }, (provider) => {
  it('are combined and changed', async () => {
    const side = await openSide(provider, { caps });
    const { addresses, endpoint } = side;
    const own = addresses.insert(endpoint.getName());
    const others: number[] = [];
    for (let index = 0; index < 3; index++) {
      const name = Uint8Array.from(endpoint.getName());
      name[3] ^= 1 << (index + 1);
      others.push(addresses.insert(name));
    }
    const all = await fi.AddressVectorSet.open(addresses, { end: 3 });
    const even = await fi.AddressVectorSet.open(addresses, { end: 3, stride: 2 });
    const none = await fi.AddressVectorSet.open(addresses);
    expect(all.members).toEqual([own, ...others]);
    expect(even.members).toEqual([0, 2]);
    expect(none.members).toEqual([]);
    none.union(even);
    expect(none.members).toEqual([0, 2]);
    all.diff(even);
    expect(all.members).toEqual([1, 3]);
    all.intersect(even);
    expect(all.members).toEqual([]);
    all.insert(3);
    expect(() => {
      all.insert(3);
    }).toThrow(RangeError);
    all.remove(3);
    expect(() => {
      all.remove(3);
    }).toThrow(RangeError);
    expect(() => {
      all.insert(17);
    }).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_ADDRESS' }));
    await expect(fi.AddressVectorSet.open(addresses, { end: 17 })).rejects.toMatchObject({
      code: 'ERR_FABRIC_ADDRESS',
    });
    await expect(fi.AddressVectorSet.open(addresses, { end: 1, stride: 0 })).rejects.toThrow(RangeError);
    // The endpoint is no member of it.
    await expect(endpoint.joinCollective(all)).rejects.toMatchObject({ code: 'ERR_FABRIC_ADDRESS' });
    for (const set of [all, even, none]) await set.close();
  });
});

describeOnProviders('collectives without the capability', {}, (provider) => {
  it('are refused as such', async () => {
    const side = await openSide(provider);
    const { addresses, endpoint } = side;
    addresses.insert(endpoint.getName());
    let set: fi.AddressVectorSet;
    try {
      set = await fi.AddressVectorSet.open(addresses, { end: 0 });
    } catch (error) {
      expect(error).toEqual(unsupported);
      return;
    }
    await expect(endpoint.joinCollective(set)).rejects.toEqual(unsupported);
    await set.close();
  });
});

describeOnProviders('addresses of services', {}, (provider) => {
  it('are inserted by their names', async () => {
    const { addresses } = await openSide(provider);
    const asText = (address: number) =>
      addresses.toText(addresses.lookup(address)).replace('fi_sockaddr_in://', '');
    if (!['net', 'tcp', 'tcp;ofi_rxm', 'sockets'].includes(provider.name)) {
      await expect(addresses.insertService('127.0.0.1', 40_001)).rejects.toEqual(unsupported);
      await expect(addresses.insertSymmetric('127.0.0.1', 1, 40_001, 1)).rejects.toEqual(unsupported);
      return;
    }
    expect(asText(await addresses.insertService('127.0.0.1', 40_001))).toBe('127.0.0.1:40001');
    const several = await addresses.insertSymmetric('127.0.0.2', 2, 40_010, 2);
    expect(several).toHaveLength(4);
    // sockets writes every address to the place of the first.
    const told = provider.name === 'sockets' ? [asText(several[0])] : several.map(asText);
    if (provider.name === 'sockets') expect(told).toEqual(['127.0.0.3:40011']);
    else expect(told).toEqual(['127.0.0.2:40010', '127.0.0.2:40011', '127.0.0.3:40010', '127.0.0.3:40011']);
    await expect(addresses.insertService('', 1)).rejects.toThrow(RangeError);
    await expect(addresses.insertService('127.0.0.1', 70_000)).rejects.toThrow(RangeError);
    await expect(addresses.insertSymmetric('127.0.0.1', 0, 1, 1)).rejects.toThrow(RangeError);
    await expect(addresses.insertService(1 as unknown as string, 1)).rejects.toThrow(TypeError);
  });
});
