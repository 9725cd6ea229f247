import { expect, it, onTestFinished } from 'vitest';
import * as fi from 'libfabric/fi';
import type { FiPair, FiSide } from '../helpers/fi.js';
import { introduceSides, openSide, openSides, pattern, turn } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

const unsupported = expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED' });
const closed = { code: 'ERR_FABRIC_CLOSED' };

/** Does something again and again until a promise has settled. */
async function until(promise: Promise<unknown>, again: () => void): Promise<void> {
  const turns = { left: true };
  void promise.then(
    () => (turns.left = false),
    () => (turns.left = false),
  );
  while (turns.left) {
    again();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Sends from a to b while somebody waits for it; a's queue is read meanwhile, since a connection may have to be made. */
async function sendWhile<T>(pair: FiPair, waiting: Promise<T>): Promise<T> {
  const { a, b } = pair;
  const into = await b.memory(64);
  const from = await a.memory(pattern(64));
  const received = b.context();
  await pair.post('the receive', () => b.endpoint.recv(into, 0, 64, received));
  const sent = a.context();
  await pair.post('the send', () => a.endpoint.send(from, 0, 64, pair.toB, sent));
  await until(waiting, () => {
    a.read();
  });
  return waiting;
}

/** Reads until it is safe to sleep on the objects. */
async function becomesSafe(side: FiSide, objects: Parameters<typeof fi.tryWait>[1]): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!fi.tryWait(side.fabric, objects)) {
    if (Date.now() > deadline) throw new Error('fi_trywait says for ever that there is something');
    side.read();
    await turn(side.provider);
  }
}

/** Why a test of wait sets cannot run; undefined: it can. */
async function noWaitSets(provider: ProviderUnderTest): Promise<string | undefined> {
  const { fabric, domain } = await openSide(provider);
  let set: fi.WaitSet;
  try {
    set = await fi.WaitSet.open(fabric);
  } catch (error) {
    expect(error).toEqual(unsupported);
    return `${provider.name} has no wait sets`;
  }
  try {
    await (await fi.CompletionQueue.open(domain, { waitSet: set })).close();
    return undefined;
  } catch (error) {
    expect(error).toMatchObject({ code: 'FI_ENOSYS' });
    return `the queues of ${provider.name} take no wait set`;
  } finally {
    await set.close();
  }
}

describeOnProviders('a wait set', {}, (provider) => {
  it('wakes when a queue of it has something', async (context) => {
    const reason = await noWaitSets(provider);
    if (reason !== undefined) return context.skip(reason);
    const a = await openSide(provider);
    const b = await openSide(provider, { waitSet: true });
    const pair = introduceSides(a, b);
    const set = b.waitSet!;
    expect(b.queue.waitObject).toBe('FI_WAIT_SET');
    expect(set.waitFd).toBeGreaterThan(0);
    const woken = await sendWhile(
      pair,
      (async () => {
        // It may wake for what makes progress only.
        for (;;) {
          expect(await set.wait(15_000)).toBe(true);
          b.read();
          if (b.completed.length > 0) return b.completed.length;
        }
      })(),
    );
    expect(woken).toBe(1);
    expect(() => fi.tryWait(b.fabric, [set])).not.toThrow();
  });

  it('ends its waits in time, and when it closes', async (context) => {
    const reason = await noWaitSets(provider);
    if (reason !== undefined) return context.skip(reason);
    const { fabric } = await openSide(provider);
    const set = await fi.WaitSet.open(fabric);
    expect(await set.wait(5)).toBe(false);
    const waiting = expect(set.wait(15_000)).rejects.toMatchObject(closed);
    await set.close();
    await waiting;
    await expect(set.wait(5)).rejects.toMatchObject(closed);
    await expect(fabric.close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
  });

  it('wakes for what the program has not seen', async (context) => {
    const reason = await noWaitSets(provider);
    if (reason !== undefined) return context.skip(reason);
    const b = await openSide(provider, { waitSet: true });
    const pair = introduceSides(await openSide(provider), b);
    expect(await sendWhile(pair, b.queue.sread(15_000))).toBe(true);
    // Whoever waited has read it from the provider.
    expect(await b.waitSet!.wait(0)).toBe(true);
    expect(fi.tryWait(b.fabric, [b.waitSet!])).toBe(false);
    b.read();
    expect(await b.waitSet!.wait(5)).toBe(false);
    await becomesSafe(b, [b.waitSet!, b.waitSet!, b.queue]);
  });

  it('is waited on while queues of it open and close', async (context) => {
    const reason = await noWaitSets(provider);
    if (reason !== undefined) return context.skip(reason);
    const { fabric, domain } = await openSide(provider);
    const set = await fi.WaitSet.open(fabric);
    const waits = Array.from({ length: 4 }, () => expect(set.wait(15_000)).rejects.toMatchObject(closed));
    for (let round = 0; round < 100; round++) {
      const queues = await Promise.all(
        Array.from({ length: 4 }, () => fi.CompletionQueue.open(domain, { waitSet: set })),
      );
      await Promise.all(queues.map((queue) => queue.close()));
    }
    await set.close();
    await Promise.all(waits);
  });

  it('is held by its queues, and refuses what is none', async (context) => {
    const reason = await noWaitSets(provider);
    if (reason !== undefined) return context.skip(reason);
    const stranger = await openSide(provider);
    const side = await openSide(provider, { waitSet: true });
    await expect(side.waitSet!.close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
    const wrong = { waitSet: side.domain as unknown as fi.WaitSet };
    await expect(fi.CompletionQueue.open(side.domain, wrong)).rejects.toThrow(TypeError);
    const both = { waitSet: side.waitSet!, waitObject: 'FI_WAIT_FD' };
    await expect(fi.CompletionQueue.open(side.domain, both)).rejects.toThrow(RangeError);
    await expect(fi.CompletionQueue.open(stranger.domain, { waitSet: side.waitSet! })).rejects.toThrow(
      RangeError,
    );
    expect(() => fi.tryWait(stranger.fabric, [side.waitSet!])).toThrow(RangeError);
    await expect(fi.WaitSet.open(side.domain as unknown as fi.Fabric)).rejects.toThrow(TypeError);
  });
});

describeOnProviders('a poll set', {}, (provider) => {
  it('tells which queue has something', async (context) => {
    const pair = await openSides(provider);
    const { b } = pair;
    let set: fi.PollSet;
    try {
      set = await fi.PollSet.open(b.domain);
    } catch (error) {
      expect(error).toEqual(unsupported);
      return context.skip(`${provider.name} has no poll sets`);
    }
    expect(set.poll()).toEqual([]);
    set.add(b.queue);
    const other = await fi.CompletionQueue.open(b.domain);
    set.add(other);
    expect(() => {
      set.add(other);
    }).toThrow(RangeError);
    await expect(other.close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
    const found = await sendWhile(
      pair,
      (async () => {
        for (let looks = 0; looks < 15_000; looks++) {
          const members = set.poll();
          if (members.length > 0) return members;
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        return [];
      })(),
    );
    expect(found).toEqual([b.queue]);
    expect(await b.queue.sread(15_000)).toBe(true);
    // Now it is no longer the provider that has it.
    expect(set.poll()).toEqual([b.queue]);
    b.read();
    expect(b.completed).toHaveLength(1);
    expect(set.poll()).toEqual([]);
    set.delete(other);
    expect(() => {
      set.delete(other);
    }).toThrow(RangeError);
    await other.close();
    expect(() => {
      set.add(pair.a.queue);
    }).toThrow(RangeError);
    expect(() => {
      set.add(b.domain as unknown as fi.Counter);
    }).toThrow(TypeError);
    await set.close();
    expect(() => set.poll()).toThrow(expect.objectContaining(closed));
  });
});

describeOnProviders('a completion queue', {}, (provider) => {
  it('is waited for', async () => {
    const pair = await openSides(provider);
    const { b } = pair;
    expect(await b.queue.sread(0)).toBe(false);
    expect(await sendWhile(pair, b.queue.sread(15_000))).toBe(true);
    b.read();
    expect(b.completed).toHaveLength(1);
  });

  it('is waited for until there is what no read has shown', async () => {
    const pair = await openSides(provider);
    const { a, b } = pair;
    const into = await b.memory(64);
    const from = await a.memory(64);
    const contexts = [b.context(), b.context()];
    for (const received of contexts)
      await pair.post('the receive', () => b.endpoint.recv(into, 0, 64, received));
    let sent = 0;
    for (const received of contexts) {
      const waiting = b.queue.sread(15_000);
      await until(waiting, () => {
        if (sent < 2 && a.endpoint.send(from, 0, 64, pair.toB, a.context())) sent++;
        a.read();
      });
      expect(await waiting).toBe(true);
      expect(b.queue.read(1)).toBe(1);
      expect(b.queue.completions.context(0)).toBe(received);
    }
    expect(await b.queue.sread(5)).toBe(false);
  });

  it('is read by its program while somebody waits for it', async () => {
    const pair = await openSides(provider);
    const { a, b } = pair;
    const into = await b.memory(64);
    const from = await a.memory(64);
    const rounds = 50;
    const burst = 20;
    const expected: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const waits = Array.from({ length: 4 }, () => b.queue.sread(15_000));
      for (let index = 0; index < burst; index++) {
        const received = b.context();
        expected.push(received);
        await pair.post('the receive', () => b.endpoint.recv(into, 0, 64, received));
      }
      for (let index = 0; index < burst; index++) {
        const sent = a.context();
        await pair.post('the send', () => a.endpoint.send(from, 0, 64, pair.toB, sent));
      }
      await pair.until('all of the round', () => b.completed.length >= expected.length);
      b.queue.signal();
      await until(Promise.all(waits), () => {
        b.queue.signal();
      });
    }
    // Two who wrote into its ring at once would lose some, or tell of them twice.
    const told = b.completed.map(({ context }) => context).sort((left, right) => left - right);
    expect(told).toEqual(expected);
    expect(b.completed.every(({ error }) => error === 0)).toBe(true);
  });

  it('ends the wait by a signal, and by its close', async () => {
    const { domain } = await openSide(provider);
    const queue = await fi.CompletionQueue.open(domain);
    onTestFinished(() => queue.close());
    const waiting = queue.sread(15_000);
    queue.signal();
    // A signal before the wait has begun is none: it goes on being given until the wait has ended.
    await until(waiting, () => {
      queue.signal();
    });
    expect(await waiting).toBe(false);
    const closing = expect(queue.sread(15_000)).rejects.toMatchObject(closed);
    await queue.close();
    await closing;
    expect(() => {
      queue.signal();
    }).toThrow(expect.objectContaining(closed));
  });
});

describeOnProviders('an event queue', {}, (provider) => {
  it('takes events of the program', async (context) => {
    const { events } = await openSide(provider);
    const data = pattern(40);
    try {
      expect(events.write(fi.FI_NOTIFY, data)).toBe(true);
    } catch (error) {
      expect(error).toEqual(unsupported);
      return context.skip(`${provider.name} has no fi_eq_write`);
    }
    expect(events.write(1234, data.subarray(0, 8))).toBe(true);
    const first = await events.sread(15_000);
    expect(first).toMatchObject({ event: fi.FI_NOTIFY, name: 'FI_NOTIFY', error: 0, source: undefined });
    expect(Buffer.compare(first!.data, data)).toBe(0);
    expect(events.read()).toMatchObject({ event: 1234, name: '1234' });
    expect(events.read()).toBeUndefined();
  });

  it('refuses events of libfabric, and what is no data', async () => {
    const { events } = await openSide(provider);
    for (const event of [fi.FI_CONNREQ, fi.FI_CONNECTED, fi.FI_SHUTDOWN, fi.FI_JOIN_COMPLETE, -1, 0.5])
      expect(() => events.write(event)).toThrow(RangeError);
    expect(() => events.write(fi.FI_NOTIFY, 'text' as unknown as Uint8Array)).toThrow(TypeError);
    expect(() => events.write(fi.FI_NOTIFY, new Uint8Array(4097))).toThrow(RangeError);
  });

  it('has a descriptor, where the provider has one', async (context) => {
    const { fabric, queue } = await openSide(provider);
    expect(() => fi.tryWait(fabric, [queue])).toThrow(RangeError);
    let events: fi.EventQueue;
    try {
      events = await fi.EventQueue.open(fabric, { waitObject: 'FI_WAIT_FD' });
    } catch (error) {
      expect(error).toBeInstanceOf(fi.FabricError);
      return context.skip(`${provider.name} has no descriptor for events`);
    }
    onTestFinished(() => events.close());
    expect(events.waitFd).toBeGreaterThan(0);
    expect(fi.tryWait(fabric, [events])).toBe(true);
    events.write(fi.FI_NOTIFY, pattern(8));
    expect(events.read()?.data).toEqual(pattern(8));
    expect(() => fi.tryWait(fabric, [fabric as unknown as fi.EventQueue])).toThrow(TypeError);
  });
});
