import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { open } from 'libfabric';
import { AddressVector, Memory, MemoryRegion } from 'libfabric/fi';
import { addon } from '../../src/fi/library.js';
import { collectGarbage, collectUntil } from '../helpers/collect.js';
import { introduceSides, openOwnSide, openSide, openSides, pattern, sameBytes } from '../helpers/fi.js';
import { describeOnProviders, openOptions } from '../helpers/providers.js';

const closed = expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' });
const busy = expect.objectContaining({ code: 'ERR_FABRIC_BUSY' });

describe('Memory', () => {
  it.each([1, 100, 4096, 4097, 10_000_000])('of %i bytes is zeroed and as long as asked for', (length) => {
    using memory = Memory.allocate(length);
    expect(memory.length).toBe(length);
    expect(memory.bytes.byteLength).toBe(length);
    expect(memory.bytes.byteOffset).toBe(0);
    expect(memory.bytes.every((byte) => byte === 0)).toBe(true);
    memory.bytes.fill(0xab);
    expect(memory.bytes[length - 1]).toBe(0xab);
    expect(memory.capacity).toBeGreaterThanOrEqual(length);
    expect(memory.capacity % 4096).toBe(0);
  });

  it.each([0, -1, 1.5, Number.NaN, 2 ** 41])('of %d bytes is refused', (length) => {
    expect(() => Memory.allocate(length)).toThrow(RangeError);
    expect(() => Memory.allocate('64' as unknown as number)).toThrow(TypeError);
    expect(() => Memory.allocate(64, { overflow: -1 })).toThrow(RangeError);
  });

  it('has room behind it where that was asked for, which costs nothing until it is used', () => {
    const before = residentPages();
    using memory = Memory.allocate(4096, { overflow: 2 ** 30 });
    expect(memory.length).toBe(4096);
    expect(memory.capacity).toBe(4096 + 2 ** 30);
    // A thousandth of it, in pages of 4 KiB: the rest of the process changes too.
    expect(residentPages() - before).toBeLessThan(2 ** 30 / 4096 / 10);
  });

  it('takes less room behind it where the system gives no more', () => {
    using memory = Memory.allocate(4096, { overflow: 2 ** 40 });
    expect(memory.length).toBe(4096);
    expect(memory.capacity).toBeGreaterThanOrEqual(4096);
  });

  it('is found by any view of it', () => {
    using memory = Memory.allocate(4096);
    expect(Memory.of(memory.bytes)).toBe(memory);
    expect(Memory.of(memory.bytes.subarray(10, 20))).toBe(memory);
    expect(Memory.of(new Uint8Array(memory.bytes.buffer, 4000, 96))).toBe(memory);
    using other = Memory.allocate(4096);
    expect(Memory.of(other.bytes)).toBe(other);
    expect(Memory.of(new Uint8Array(64))).toBeUndefined();
    expect(Memory.of(memory.bytes.slice())).toBeUndefined();
    expect(Memory.of(Buffer.alloc(10))).toBeUndefined();
  });

  it('has an id of its own, and after free() none', () => {
    const memory = Memory.allocate(64);
    using other = Memory.allocate(64);
    expect(memory.id).not.toBe(other.id);
    memory.free();
    expect(() => memory.id).toThrow(closed);
    expect(() => {
      memory.trim();
    }).toThrow(closed);
    memory.free();
    memory[Symbol.dispose]();
  });

  it('may be looked at after free(), as long as somebody does', () => {
    const memory = Memory.allocate(64);
    memory.bytes.fill(7);
    const view = memory.bytes.subarray(0, 8);
    memory.free();
    expect([...view]).toEqual([7, 7, 7, 7, 7, 7, 7, 7]);
  });

  it('goes back to the system when it is freed and no view of it is left', async () => {
    await collectGarbage();
    const before = addon().liveBlocks();
    (() => {
      for (let index = 0; index < 50; index++) Memory.allocate(4096).free();
    })();
    await collectUntil('the blocks', () => addon().liveBlocks() <= before);
  });

  it('goes back to the system when it is forgotten', async () => {
    await collectGarbage();
    const before = addon().liveBlocks();
    (() => {
      for (let index = 0; index < 50; index++) Memory.allocate(4096);
    })();
    await collectUntil('the blocks', () => addon().liveBlocks() <= before);
  });
});

describeOnProviders('memory in flight', {}, (provider) => {
  it('is kept until its receive completes, though it was freed', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(pattern(1000));
    const view = await (async () => {
      const into = Memory.allocate(1000);
      await pair.post('the receive', () => b.endpoint.recv(into, 0, 1000, 5));
      into.free();
      return into.bytes;
    })();
    await collectGarbage();
    await pair.post('the send', () => a.endpoint.send(from, 0, 1000, toB, 1));
    expect(await pair.completion(b, 5)).toMatchObject({ error: 0, length: 1000 });
    expect(sameBytes(view, from.bytes)).toBe(true);
  });

  it('is kept though nobody has it any more, and given back after the completion', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(8);
    await collectGarbage();
    const before = addon().liveBlocks();
    const count = 20;
    for (let index = 0; index < count; index++) {
      await pair.post('a receive', () => {
        const into = Memory.allocate(4096);
        const taken = b.endpoint.recv(into, 0, 8, index);
        into.free();
        return taken;
      });
    }
    await collectUntil('all but what is in flight', () => addon().liveBlocks() <= before + count);
    expect(addon().liveBlocks()).toBe(before + count);
    for (let index = 0; index < count; index++)
      await pair.post('a send', () => a.endpoint.send(from, 0, 8, toB, index));
    await pair.until('the receives', () => b.completed.length === count);
    await collectUntil('the rest', () => addon().liveBlocks() <= before);
  });

  it('is given back when its endpoint closes', async () => {
    const pair = await openSides(provider);
    const { b } = pair;
    await collectGarbage();
    const before = addon().liveBlocks();
    for (let index = 0; index < 10; index++)
      await pair.post('a receive', () => {
        const into = Memory.allocate(4096);
        const taken = b.endpoint.recv(into, 0, 8, index);
        into.free();
        return taken;
      });
    await b.endpoint.close();
    await collectUntil('the blocks', () => addon().liveBlocks() <= before);
  });

  it('takes a longer message into the room behind it, and gives that back', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(pattern(50_000));
    using into = Memory.allocate(4096, { overflow: 2 ** 20 });
    for (let round = 0; round < 3; round++) {
      into.bytes.fill(0);
      const completed = await pair.transfer(
        (context) => a.endpoint.send(from, 0, 50_000, toB, context),
        (context) => b.endpoint.recv(into, 0, into.capacity, context),
      );
      expect(completed).toMatchObject({ error: 0, length: 50_000 });
      expect(sameBytes(into.bytes, from.bytes.subarray(0, 4096))).toBe(true);
      into.trim();
      // What is in front stays as it is.
      expect(sameBytes(into.bytes, from.bytes.subarray(0, 4096))).toBe(true);
    }
  });
});

describeOnProviders('MemoryRegion', {}, (provider) => {
  it('has a key and an address, and keeps its memory from being freed', async () => {
    const { domain } = await openSide(provider);
    const memory = Memory.allocate(65_536);
    const region = await MemoryRegion.register(domain, memory);
    expect(region.memory).toBe(memory);
    expect(typeof region.key).toBe('bigint');
    expect(region.address % 4096n).toBe(0n);
    expect(region.address).toBeGreaterThan(0n);
    expect(region.parents).toEqual([domain]);
    expect(() => {
      memory.free();
    }).toThrow(busy);
    expect(memory.length).toBe(65_536);
    await region.close();
    memory.free();
    expect(() => memory.id).toThrow(closed);
  });

  it('does not get in the way of messages', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    using from = Memory.allocate(4096);
    using into = Memory.allocate(4096);
    await using fromRegion = await MemoryRegion.register(a.domain, from, { access: ['send'] });
    await using intoRegion = await MemoryRegion.register(b.domain, into, { access: ['recv'] });
    from.bytes.set(pattern(4096));
    const completed = await pair.transfer(
      (context) => a.endpoint.send(from, 0, 4096, toB, context),
      (context) => b.endpoint.recv(into, 0, 4096, context),
    );
    expect(completed).toMatchObject({ error: 0, length: 4096 });
    expect(sameBytes(into.bytes, from.bytes)).toBe(true);
    expect([fromRegion.closed, intoRegion.closed]).toEqual([false, false]);
  });

  it('takes the key that the program asks for, where the provider lets it choose', async (context) => {
    const { domain, info } = await openSide(provider, { caps: ['FI_MSG', 'FI_RMA'] });
    if (info.memoryMode.includes('FI_MR_PROV_KEY')) context.skip('the provider chooses the keys');
    using memory = Memory.allocate(4096);
    const access = ['remoteRead', 'remoteWrite'] as const;
    await using first = await MemoryRegion.register(domain, memory, { access, requestedKey: 1234 });
    expect(first.key).toBe(1234n);
    await using second = await MemoryRegion.register(domain, memory, { access, requestedKey: 99n });
    expect(second.key).toBe(99n);
    await expect(MemoryRegion.register(domain, memory, { access, requestedKey: 99n })).rejects.toMatchObject({
      call: 'fi_mr_reg',
      code: 'FI_ENOKEY',
    });
  });

  it('refuses unknown words and keys that are none', async () => {
    const { domain } = await openSide(provider);
    using memory = Memory.allocate(64);
    const access = ['send', 'look'] as unknown as ['send'];
    await expect(MemoryRegion.register(domain, memory, { access })).rejects.toThrow(TypeError);
    for (const requestedKey of [-1n, 1n << 64n, -1, 0.5])
      await expect(MemoryRegion.register(domain, memory, { requestedKey })).rejects.toThrow(RangeError);
    await expect(
      MemoryRegion.register(domain, memory, { requestedKey: '1' as unknown as bigint }),
    ).rejects.toThrow(TypeError);
  });

  it('of memory that was freed is refused', async () => {
    const { domain } = await openSide(provider);
    const memory = Memory.allocate(64);
    memory.free();
    await expect(MemoryRegion.register(domain, memory)).rejects.toThrow(closed);
  });
});

/** What an everyday endpoint and the fi objects hold of the system. */
interface Holdings {
  descriptors: number;
  threads: number;
  files: number;
  blocks: number;
}

function holdings(): Holdings {
  const own = readdirSync('/dev/shm').filter((name) => name.includes(`-${process.pid}-`));
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
    files: own.length,
    blocks: addon().liveBlocks(),
  };
}

function residentPages(): number {
  return Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[1]);
}

describeOnProviders('opening and closing again and again', { timeoutMs: 60_000 }, (provider) => {
  const rounds = 8;

  it('leaves nothing behind of the fi layer', async () => {
    const once = async (): Promise<void> => {
      // Not those of the helpers that close after the test: what refers to them then would keep them.
      const pair = introduceSides(await openOwnSide(provider), await openOwnSide(provider));
      const { a, b, toB } = pair;
      const from = await a.memory(64);
      const into = await b.memory(64);
      await using spare = await AddressVector.open(a.domain);
      expect(spare.closed).toBe(false);
      await pair.transfer(
        (context) => a.endpoint.send(from, 0, 64, toB, context),
        (context) => b.endpoint.recv(into, 0, 64, context),
      );
      await spare.close();
      // One receive stays in flight.
      await pair.post('a receive', () => b.endpoint.recv(into, 0, 64, 900));
      await a.close();
      await b.close();
    };
    await expectNothingLeft(once, rounds);
  });

  it('leaves nothing behind of everyday endpoints', async () => {
    const once = async (): Promise<void> => {
      const a = await open(openOptions(provider));
      const b = await open(openOptions(provider));
      const toB = a.peer(b.contact);
      const received = b.recv(64);
      await a.send(toB, pattern(64));
      expect((await received).length).toBe(64);
      await Promise.all([a.close(), b.close()]);
    };
    await expectNothingLeft(once, rounds);
  });
});

/** Nothing grows from N rounds to 2N; the first rounds may start threads and fill caches. */
async function expectNothingLeft(once: () => Promise<void>, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) await once();
  await collectGarbage();
  const after = holdings();
  for (let round = 0; round < rounds; round++) await once();
  const settled = (): boolean => {
    const now = holdings();
    return (Object.keys(after) as (keyof Holdings)[]).every((name) => now[name] <= after[name]);
  };
  await collectUntil(`no more than ${JSON.stringify(after)}`, settled);
}
