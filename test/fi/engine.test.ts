import { describe, expect, it, onTestFinished } from 'vitest';
import { Engine, type EngineOptions, type ProgressMode } from 'libfabric/fi';
import { resultOf, runModule } from '../helpers/child.js';
import { type FiPair, type FiSide, openSide, openSides } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

/** How the provider's queue wakes a sleeper, as the everyday layer opens it. */
function queueOptions({ waitObjects, family, libraryVersion }: ProviderUnderTest): { waitObject?: string } {
  const waitObject = waitObjects.at(0);
  // efa has none before libfabric 2.3.
  if (family === 'efa' && libraryVersion < 0x20003) return { waitObject: 'FI_WAIT_NONE' };
  return waitObject === undefined ? {} : { waitObject };
}

/** An engine on a side's queue, which is stopped after the test, and what it has told. */
class Watched {
  readonly engine: Engine;
  /** Contexts of the completions that were found. */
  readonly contexts: number[] = [];
  #waiting: (() => void) | undefined;

  constructor(side: FiSide, options: Partial<EngineOptions> = {}) {
    this.engine = Engine.start(side.queue, {
      eventQueue: side.events,
      ...options,
      onReadable: () => {
        this.take();
        this.#waiting?.();
      },
    });
    this.engine.ref();
    onTestFinished(() => {
      this.engine.stop();
    });
  }

  take(): number {
    const count = this.engine.poll();
    const { completions } = this.engine.queue;
    for (let index = 0; index < count; index++) this.contexts.push(completions.context(index));
    return count;
  }

  /** Sleeps until onReadable() has brought so many completions; nobody else reads the queue meanwhile. */
  async told(count: number): Promise<void> {
    while (this.contexts.length < count)
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
  }
}

/** Posts a call that answers false while there is no room, letting both engines read in between. */
async function post(call: () => boolean): Promise<void> {
  while (!call()) await new Promise((resolve) => setImmediate(resolve));
}

async function exchange(pair: FiPair, a: Watched, b: Watched, messages: number): Promise<void> {
  const from = await pair.a.memory(64);
  const into = await pair.b.memory(64);
  for (let index = 0; index < messages; index++) {
    await post(() => pair.b.endpoint.recv(into, 0, 64, index));
    await post(() => pair.a.endpoint.send(from, 0, 64, pair.toB, index));
    await Promise.all([a.told(index + 1), b.told(index + 1)]);
  }
  const numbers = [...Array(messages).keys()];
  expect(a.contexts).toEqual(numbers);
  expect(b.contexts).toEqual(numbers);
}

describeOnProviders('Engine', {}, (provider) => {
  const modes: ProgressMode[] = ['auto', 'inline', 'thread'];

  it('takes what has come with the call that posts the next receive', async () => {
    const MESSAGES = 20;
    const pair = await openSides(provider, { queue: queueOptions(provider) });
    const a = new Watched(pair.a);
    const { engine, contexts } = new Watched(pair.b, { mode: 'inline' });
    const from = await pair.a.memory(8);
    const into = await pair.b.memory(8 * MESSAGES);
    const { completions } = pair.b.queue;
    const receive = (context: number): boolean => {
      if (!pair.b.endpoint.recvThenPoll(engine, into, 8 * context, 8, context)) return false;
      for (let index = 0; index < completions.count; index++) contexts.push(completions.context(index));
      return true;
    };
    await post(() => receive(0));
    for (let context = 0; context < MESSAGES; context++) {
      from.bytes.fill(context + 1);
      await post(() => pair.a.endpoint.send(from, 0, 8, pair.toB, context));
      await a.told(context + 1);
      // Of the one that has been sent, this call or a later look tells.
      if (context + 1 < MESSAGES) await post(() => receive(context + 1));
    }
    await post(() => {
      const count = engine.poll();
      for (let index = 0; index < count; index++) contexts.push(completions.context(index));
      return contexts.length === MESSAGES;
    });
    expect(contexts).toEqual([...Array(MESSAGES).keys()]);
    for (let context = 0; context < MESSAGES; context++) expect(into.bytes[8 * context]).toBe(context + 1);
  });

  it.each(modes)('in the mode %s tells of completions while the program sleeps', async (mode) => {
    const pair = await openSides(provider, { queue: queueOptions(provider) });
    const a = new Watched(pair.a, { mode });
    const b = new Watched(pair.b, { mode });
    expect(a.engine.mode).toBe(mode);
    expect(a.engine.queue).toBe(pair.a.queue);
    await exchange(pair, a, b, 5);
    if (mode === 'thread') expect(b.engine.counters.threadReads).toBeGreaterThan(0);
    if (mode === 'inline') expect(b.engine.counters.threadReads).toBe(0);
  });

  it.each(modes)('in the mode %s tells of completions without a file descriptor too', async (mode) => {
    const pair = await openSides(provider, { queue: { waitObject: 'FI_WAIT_NONE' } });
    const a = new Watched(pair.a, { mode, maxSleepMicroseconds: 500 });
    const b = new Watched(pair.b, { mode, maxSleepMicroseconds: 500 });
    expect(a.engine.sleepBy).toBe('backoff');
    await exchange(pair, a, b, 5);
  });

  it.each(modes)('in the mode %s can be polled', async (mode) => {
    const pair = await openSides(provider, { queue: queueOptions(provider) });
    const a = new Watched(pair.a, { mode });
    const b = new Watched(pair.b, { mode });
    const from = await pair.a.memory(64);
    const into = await pair.b.memory(64);
    await post(() => pair.b.endpoint.recv(into, 0, 64, 7));
    await post(() => pair.a.endpoint.send(from, 0, 64, pair.toB, 9));
    while (a.contexts.length === 0 || b.contexts.length === 0) {
      a.take();
      b.take();
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    expect([a.contexts, b.contexts]).toEqual([[9], [7]]);
    expect(a.engine.poll(true)).toBe(0);
  });

  it('brings every completion of many, once', async () => {
    const count = 500;
    const pair = await openSides(provider, { queue: queueOptions(provider) });
    const a = new Watched(pair.a);
    const b = new Watched(pair.b);
    const from = await pair.a.memory(64);
    const into = await pair.b.memory(64);
    for (let index = 0; index < count; index++) {
      await post(() => pair.b.endpoint.recv(into, 0, 64, index));
      await post(() => pair.a.endpoint.send(from, 0, 64, pair.toB, index));
    }
    await Promise.all([a.told(count), b.told(count)]);
    expect([...a.contexts].sort((x, y) => x - y)).toEqual([...Array(count).keys()]);
    expect(b.contexts).toEqual([...Array(count).keys()]);
  });

  it('is one for a queue: a second is refused until the first has stopped', async () => {
    const { queue } = await openSide(provider);
    const onReadable = (): void => undefined;
    const first = Engine.start(queue, { onReadable });
    expect(() => Engine.start(queue, { onReadable })).toThrow(
      expect.objectContaining({ code: 'ERR_FABRIC_BUSY' }),
    );
    first.stop();
    first.stop();
    expect(first.poll()).toBe(0);
    expect(first.counters).toEqual({ threadReads: 0, spinsMissed: 0 });
    const second = Engine.start(queue, { onReadable, mode: 'thread' });
    // The end of the first one does nothing to the second.
    first.stop();
    first.unref();
    expect(second.mode).toBe('thread');
    second.stop();
  });

  it('tells nothing after stop()', async () => {
    const pair = await openSides(provider, { queue: queueOptions(provider) });
    const a = new Watched(pair.a);
    let calls = 0;
    const stopped = Engine.start(pair.b.queue, { onReadable: () => calls++ });
    stopped.stop();
    const again = new Watched(pair.b);
    await exchange(pair, a, again, 2);
    expect(calls).toBe(0);
  });

  it('ends when its queue closes', async () => {
    const side = await openSide(provider, { queue: queueOptions(provider) });
    const engine = Engine.start(side.queue, { mode: 'thread', onReadable: () => undefined });
    await side.close();
    expect(engine.poll()).toBe(0);
    engine.ref().unref();
    engine.stop();
  });

  it('refuses options that it cannot follow', async () => {
    const { queue } = await openSide(provider);
    const onReadable = (): void => undefined;
    const range: object[] = [
      { mode: 'fast' },
      { sleepBy: 'never' },
      { spinMicroseconds: -1 },
      { spinMicroseconds: 1e6 },
      { spinMicroseconds: 0.5 },
      { maxSleepMicroseconds: 0 },
      { maxSleepMicroseconds: 1e9 },
    ];
    for (const options of range)
      expect(() => Engine.start(queue, { onReadable, ...options })).toThrow(RangeError);
    const type: object[] = [
      { onReadable: undefined },
      { onReadable: 'function' },
      { eventQueue: queue },
      { eventQueue: {} },
      { spinMicroseconds: '5' },
    ];
    for (const options of type)
      expect(() => Engine.start(queue, { onReadable, ...options })).toThrow(TypeError);
    // None of them has left an engine.
    Engine.start(queue, { onReadable, spinMicroseconds: 0 }).stop();
  });
});

describeOnProviders('Engine sleeping', { unless: noDescriptor }, (provider) => {
  it('by the queue’s file descriptor where there is one', async () => {
    const { queue } = await openSide(provider, { queue: queueOptions(provider) });
    expect(queue.waitFd).toBeGreaterThanOrEqual(0);
    const engine = Engine.start(queue, { onReadable: () => undefined });
    expect(engine.sleepBy).toBe('fd');
    engine.stop();
  });
});

function noDescriptor({ sleepBy }: ProviderUnderTest): string | undefined {
  return sleepBy === 'fd' ? undefined : 'its queues have no file descriptor';
}

describe('a process with an Engine', () => {
  const opened = `
    import * as fi from 'libfabric/fi';
    const [info] = await fi.getInfo(
      { providerName: 'sockets', endpointType: 'FI_EP_RDM', caps: ['FI_MSG'], addressVectorType: 'FI_AV_TABLE',
        mode: fi.FI_CONTEXT | fi.FI_CONTEXT2, threading: 'FI_THREAD_SAFE' },
      { node: '127.0.0.1', flags: fi.FI_SOURCE });
    const fabric = await fi.Fabric.open(info);
    const domain = await fi.Domain.open(fabric, info);
    const queue = await fi.CompletionQueue.open(domain, { waitObject: 'FI_WAIT_FD' });
    const start = (mode) => fi.Engine.start(queue, { mode, onReadable: () => undefined });
    process.on('exit', () => console.log(JSON.stringify({ ticks })));
    let ticks = 0;
  `;
  // While the engine keeps the process alive the loop turns, so that these unreferenced timers come; a process that
  // nothing keeps alive ends before them. The last one ends them: a late loop may have another before its end.
  const ticking = `const timer = setInterval(() => {
    if (++ticks === 20) { clearInterval(timer); STOP }
  }, 5).unref();`;

  async function ticksOf(text: string): Promise<number> {
    return ((await resultOf(text)) as { ticks: number }).ticks;
  }

  it.each(['auto', 'inline', 'thread'])(
    'in the mode %s ends by itself: an engine is not referenced at first',
    async (mode) => {
      const text = `${opened} start('${mode}'); ${ticking.replace('STOP', 'process.exit(3);')}`;
      // A busy machine may have let one come; what keeps a process alive lets all of them.
      expect(await ticksOf(text)).toBeLessThan(20);
    },
  );

  it.each(['auto', 'inline', 'thread'])(
    'in the mode %s stays alive after ref(), until unref()',
    async (mode) => {
      const text = `${opened} const engine = start('${mode}').ref().ref(); ${ticking.replace('STOP', 'engine.unref();')}`;
      expect(await ticksOf(text)).toBeGreaterThanOrEqual(20);
    },
  );

  it('stays alive after ref(), until stop()', async () => {
    const text = `${opened} const engine = start('auto').ref(); ${ticking.replace('STOP', 'engine.stop();')}`;
    expect(await ticksOf(text)).toBeGreaterThanOrEqual(20);
  });

  it('stays alive after ref(), until its queue has closed', async () => {
    const text = `${opened} const engine = start('auto').ref();
      ${ticking.replace('STOP', 'queue.close();')}`;
    expect(await ticksOf(text)).toBeGreaterThanOrEqual(20);
  });

  it.each(['auto', 'inline', 'thread'])('in the mode %s ends at once by process.exit()', async (mode) => {
    const { code, signal } = await runModule(`${opened} start('${mode}').ref(); process.exit(7);`);
    expect({ code, signal }).toEqual({ code: 7, signal: null });
  });
});
