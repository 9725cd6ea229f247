import { describe, expect, it } from 'vitest';
import { Counter, FI_READ, FI_RECV, FI_REMOTE_WRITE, FI_SEND, FI_TRANSMIT, FI_WRITE } from 'libfabric/fi';
import { openSide, openSides, pattern } from '../helpers/fi.js';
import { describeOnProviders } from '../helpers/providers.js';

const caps = ['FI_MSG', 'FI_RMA'];
const closed = expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' });

describeOnProviders('counters', {}, (provider) => {
  it('start at 0 and can be raised and set', async () => {
    const { domain } = await openSide(provider);
    await using counter = await Counter.open(domain);
    expect([counter.read(), counter.errors]).toEqual([0n, 0n]);
    counter.add(5);
    counter.add(1n << 20n);
    expect(counter.read()).toBe((1n << 20n) + 5n);
    counter.set(7n);
    expect(counter.read()).toBe(7n);
    counter.addErrors(2);
    expect(counter.errors).toBe(2n);
    counter.setErrors(9);
    expect([counter.read(), counter.errors]).toEqual([7n, 9n]);
  });

  it('count sends and receives', async () => {
    const pair = await openSides(provider, { counters: [FI_SEND, FI_RECV] });
    const { a, b, toB } = pair;
    const from = await a.memory(pattern(64));
    const into = await b.memory(64);
    for (let index = 0; index < 5; index++) {
      await pair.post('a receive', () => b.endpoint.recv(into, 0, 64, index));
      await pair.post('a send', () => a.endpoint.send(from, 0, 64, toB, index));
    }
    await pair.until('all', () => a.completed.length === 5 && b.completed.length === 5);
    await pair.until('the counters', () => a.counters[0].read() === 5n && b.counters[1].read() === 5n);
    expect(a.counters[1].read()).toBe(0n);
    expect(b.counters[0].read()).toBe(0n);
    expect(a.counters[0].errors).toBe(0n);
  });

  it('count reads and writes', async () => {
    const pair = await openSides(provider, { caps, counters: [FI_WRITE, FI_READ] });
    const { a, b, toB } = pair;
    const memory = await a.memory(64);
    const { remote } = await b.exposed(64);
    for (let index = 0; index < 3; index++)
      await pair.post('a write', () => a.endpoint.write(memory, 0, 64, toB, remote, index));
    await pair.post('a read', () => a.endpoint.read(memory, 0, 64, toB, remote, 3));
    await pair.until('all', () => a.completed.length === 4);
    await pair.until('the counters', () => a.counters[0].read() === 3n && a.counters[1].read() === 1n);
  });

  it('drive an endpoint whose queue nobody reads', async () => {
    const pair = await openSides(provider, { counters: [FI_SEND, FI_RECV] });
    const { a, b, toB } = pair;
    const from = await a.memory(64);
    const into = await b.memory(64);
    await pair.post('the receive', () => b.endpoint.recv(into, 0, 64, 0));
    await pair.post('the send', () => a.endpoint.send(from, 0, 64, toB, 0));
    const waits = [a.counters[0].wait(1, 15_000), b.counters[1].wait(1n, 15_000)];
    expect(await Promise.all(waits)).toEqual([true, true]);
  });

  describe('wait', () => {
    it('answers at once where the value is there already', async () => {
      const { domain } = await openSide(provider);
      await using counter = await Counter.open(domain);
      counter.set(3);
      expect(await counter.wait(3, 15_000)).toBe(true);
      expect(await counter.wait(0n, 0)).toBe(true);
    });

    it('answers when the value is changed', async () => {
      const { domain } = await openSide(provider);
      await using counter = await Counter.open(domain);
      const waiting = counter.wait(2, 15_000);
      counter.add(1);
      counter.add(1);
      expect(await waiting).toBe(true);
    });

    it('says false when the time is over', async () => {
      const { domain } = await openSide(provider);
      await using counter = await Counter.open(domain);
      expect(await counter.wait(1, 0)).toBe(false);
      expect(await counter.wait(1, 30)).toBe(false);
    });

    it.each(['FI_WAIT_FD', 'FI_WAIT_UNSPEC'])('does so with the wait object %s too', async (waitObject) => {
      const { domain } = await openSide(provider);
      let refusal: unknown;
      const counter = await Counter.open(domain, { waitObject }).catch((error: unknown) => {
        refusal = error;
      });
      if (!counter) {
        expect(refusal).toMatchObject({ code: 'FI_ENOSYS', call: 'fi_cntr_open' });
        return;
      }
      expect(await counter.wait(1, 50)).toBe(false);
      const waiting = counter.wait(2, 15_000);
      counter.add(1);
      counter.add(1);
      expect(await waiting).toBe(true);
      await counter.close();
    });

    it('ends where an error is counted', async () => {
      const { domain } = await openSide(provider);
      await using counter = await Counter.open(domain);
      const waiting = expect(counter.wait(1, 15_000)).rejects.toMatchObject({ code: 'FI_EAVAIL' });
      // Until then the wait may not have begun, and counts from what it finds.
      const state = { ended: false };
      const done = waiting.finally(() => (state.ended = true));
      while (!state.ended) {
        counter.addErrors(1);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await done;
    });

    it('ends where the counter is closed', async () => {
      const { domain } = await openSide(provider);
      const counter = await Counter.open(domain);
      const waiting = expect(counter.wait(1, 15_000)).rejects.toThrow(closed);
      await counter.close();
      await waiting;
    });

    it('refuses what is no number, and bounds that are none', async () => {
      const { domain } = await openSide(provider);
      await using counter = await Counter.open(domain);
      for (const wrong of [-1, -1n, 0.5, 1n << 64n])
        await expect(counter.wait(wrong, 10)).rejects.toThrow(RangeError);
      for (const wrong of [undefined, null, '1', {}]) {
        await expect(counter.wait(wrong as never, 10)).rejects.toThrow(TypeError);
        await expect(counter.wait(1, wrong as never)).rejects.toThrow(TypeError);
        expect(() => {
          counter.add(wrong as never);
        }).toThrow(TypeError);
      }
      for (const wrong of [-1, 0.5, Infinity, 2 ** 31])
        await expect(counter.wait(1, wrong)).rejects.toThrow(RangeError);
      expect(counter.read()).toBe(0n);
    });
  });

  it('belong to a domain, and close after their endpoint', async () => {
    const side = await openSide(provider, { counters: [FI_TRANSMIT] });
    const [counter] = side.counters;
    expect(counter.parents).toEqual([side.domain]);
    await expect(counter.close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
    await side.endpoint.close();
    expect(counter.read()).toBe(0n);
    await counter.close();
    expect(() => counter.read()).toThrow(closed);
    expect(() => counter.errors).toThrow(closed);
    expect(() => {
      counter.add(1);
    }).toThrow(closed);
    await expect(counter.wait(1, 1)).rejects.toThrow(closed);
    for (const wrong of [undefined, null, {}, side.fabric, side.queue])
      await expect(Counter.open(wrong as never)).rejects.toThrow(TypeError);
    await expect(Counter.open(side.domain, { waitObject: 'FI_WAIT_NOT' })).rejects.toThrow(RangeError);
  });

  it('of a memory region count what peers write, or are refused', async () => {
    const pair = await openSides(provider, { caps: [...caps, 'FI_RMA_EVENT'] }).catch(() => undefined);
    const { a, b, toB } = pair ?? (await openSides(provider, { caps }));
    const region = await b.exposed(64);
    await using counter = await Counter.open(b.domain);
    let refusal: unknown;
    try {
      region.bind(counter, FI_REMOTE_WRITE);
    } catch (error) {
      refusal = error;
    }
    expect(() => {
      region.bind(a.queue as never);
    }).toThrow(TypeError);
    if (refusal !== undefined || pair === undefined) {
      expect(refusal).toMatchObject({ code: 'ERR_FABRIC_UNSUPPORTED', call: 'fi_mr_bind' });
      return;
    }
    const memory = await a.memory(64);
    await pair.post('the write', () => a.endpoint.write(memory, 0, 64, toB, region.remote, 0));
    await pair.until('the counter', () => counter.read() === 1n);
    await region.close();
  });
});
