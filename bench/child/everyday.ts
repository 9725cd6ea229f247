// Messages over the everyday layer, in each of the ways that a program can send and receive: back and forth, or a stream.
import { performance } from 'node:perf_hooks';
import { type Endpoint, type Lease, type Message, type Peer, type Received, open } from 'libfabric';
import { type Result, type Settings, barrier, exchange, runChild, startMeter, summary } from './link.js';
import { PROOFS, checkPattern, pattern } from './pattern.js';

/** From here on messages are in leases, as docs/performance.md advises. */
const LEASE_BYTES = 16_384;
const LARGE_BYTES = 65_536;
const BATCH = 64;

/** Messages of one size, sent and received in one way. */
interface Line {
  send(): Promise<void>;
  receive(): Promise<unknown>;
  /** As receive(), with what came. */
  take(): Promise<Uint8Array>;
  sendMany(count: number): Promise<void>;
  receiveMany(count: number): Promise<void>;
}

/** What one line needs. `item` is what is sent; `data` are its bytes. */
interface Ground {
  endpoint: Endpoint;
  peer: Peer;
  size: number;
  window: number;
  item: Uint8Array | Lease;
  borrow: boolean;
}

function buffer(endpoint: Endpoint, size: number): Uint8Array | Lease {
  return size >= LEASE_BYTES ? endpoint.memory.alloc(size) : new Uint8Array(size);
}

function bytesOf(item: Uint8Array | Lease): Uint8Array {
  return item instanceof Uint8Array ? item : item.data;
}

function sender({ endpoint, peer, item, window }: Ground): Pick<Line, 'send' | 'sendMany'> {
  const send = (): Promise<void> => endpoint.send(peer, item);
  if (window === 1)
    return {
      send,
      async sendMany(count) {
        for (let sent = 0; sent < count; sent++) await endpoint.send(peer, item);
      },
    };
  return {
    send,
    async sendMany(count) {
      const under = Array.from({ length: window }, () => Promise.resolve());
      for (let sent = 0; sent < count; sent++) {
        await under[sent % window];
        under[sent % window] = endpoint.send(peer, item);
      }
      await Promise.all(under);
    },
  };
}

function awaited(ground: Ground): Line {
  const { endpoint, size, window } = ground;
  const buffers = Array.from({ length: window }, () => buffer(endpoint, size));
  const [into] = buffers;
  return {
    ...sender(ground),
    receive: () => endpoint.recv(into),
    take: async () => (await endpoint.recv(into)).data,
    async receiveMany(count) {
      const posted = Math.min(window, count);
      const under: Promise<Received>[] = buffers.slice(0, posted).map((one) => endpoint.recv(one));
      for (let received = 0; received < count; received++) {
        const place = received % posted;
        await under[place];
        if (received + posted < count) under[place] = endpoint.recv(buffers[place]);
      }
    },
  };
}

function iterator(ground: Ground): Line {
  const messages = ground.endpoint.messages({ borrow: ground.borrow });
  const take = async (): Promise<Uint8Array> => {
    const { value } = (await messages.next()) as IteratorYieldResult<Message>;
    return value.data;
  };
  return {
    ...sender(ground),
    receive: () => messages.next(),
    take,
    async receiveMany(count) {
      for (let received = 0; received < count; received++) await messages.next();
    },
  };
}

function batched({ endpoint, peer, item, window, borrow }: Ground): Line {
  const batches = endpoint.messages({ batch: BATCH, borrow });
  const one = [item];
  const many = Array.from({ length: Math.max(window, 2) }, () => item);
  const next = async (): Promise<Message[]> =>
    ((await batches.next()) as unknown as IteratorYieldResult<Message[]>).value;
  // Of a batch that holds more than one: what was not taken yet.
  const waiting: Uint8Array[] = [];
  return {
    send: () => endpoint.sendBatch(peer, one),
    receive: () => batches.next(),
    async take() {
      if (waiting.length === 0) waiting.push(...(await next()).map(({ data }) => data.slice()));
      return waiting.shift() ?? new Uint8Array();
    },
    async sendMany(count) {
      for (let left = count; left > 0; left -= many.length)
        await endpoint.sendBatch(peer, left < many.length ? many.slice(0, left) : many);
    },
    async receiveMany(count) {
      for (let left = count; left > 0;) left -= (await next()).length;
    },
  };
}

const ways = { awaited, iterator, batched };

class Measure {
  readonly #line: Line;
  readonly #data: Uint8Array;

  constructor(
    ground: Ground,
    private readonly settings: Settings,
  ) {
    this.#line = ways[settings.way ?? 'awaited'](ground);
    this.#data = bytesOf(ground.item);
  }

  async #sendPattern(number: number): Promise<void> {
    this.#data.set(pattern(this.settings.size, number));
    await this.#line.send();
  }

  async #takePattern(number: number): Promise<void> {
    checkPattern(await this.#line.take(), this.settings.size, number);
  }

  /** Messages whose bytes are checked: back and forth, or one way. */
  async prove(): Promise<number> {
    const { role, workload } = this.settings;
    const isBackAndForth = workload === 'ping-pong';
    for (let number = 0; number < PROOFS; number++) {
      if (role === 'server') await this.#takePattern(number);
      if (role === 'client') await this.#sendPattern(number);
      if (!isBackAndForth) continue;
      if (role === 'server') await this.#sendPattern(number + PROOFS);
      if (role === 'client') await this.#takePattern(number + PROOFS);
    }
    return isBackAndForth || role === 'server' ? PROOFS : 0;
  }

  async answer(count: number): Promise<void> {
    const line = this.#line;
    for (let answered = 0; answered < count; answered++) {
      await line.receive();
      await line.send();
    }
  }

  async ask(roundTrips: Float64Array): Promise<void> {
    const line = this.#line;
    let previous = performance.now();
    for (let asked = 0; asked < roundTrips.length; asked++) {
      await line.send();
      await line.receive();
      const now = performance.now();
      roundTrips[asked] = now - previous;
      previous = now;
    }
  }

  stream(count: number): Promise<void> {
    return this.settings.role === 'server' ? this.#line.receiveMany(count) : this.#line.sendMany(count);
  }
}

function openEndpoint({ provider, size }: Settings): Promise<Endpoint> {
  return open({
    provider,
    node: '127.0.0.1',
    receive: { buffers: size > LARGE_BYTES ? 16 : 64, size: Math.max(size, LARGE_BYTES) },
  });
}

await runChild(async (settings) => {
  const { role, size, iterations, warmUp, window = 1 } = settings;
  const endpoint = await openEndpoint(settings);
  const peer = endpoint.peer(await exchange(endpoint.contact));
  const item = buffer(endpoint, size);
  const measure = new Measure({ endpoint, peer, size, window, item, borrow: size >= LEASE_BYTES }, settings);
  await barrier();
  const verified = await measure.prove();
  await barrier();

  const isBackAndForth = settings.workload === 'ping-pong';
  const roundTrips = new Float64Array(isBackAndForth ? Math.max(iterations, warmUp) : 0);
  const run = (count: number): Promise<void> => {
    if (!isBackAndForth) return measure.stream(count);
    return role === 'server' ? measure.answer(count) : measure.ask(roundTrips.subarray(0, count));
  };
  await run(warmUp);
  // The clock starts with nothing on its way.
  await barrier();
  const stop = startMeter(settings);
  const start = performance.now();
  await run(iterations);
  const elapsedMs = performance.now() - start;
  const result: Result = { ...stop(), verified, note: endpoint.provider };
  if (isBackAndForth && role === 'client')
    Object.assign(result, summary(settings, roundTrips.subarray(0, iterations)));
  if (!isBackAndForth && role === 'server') result.rate = (iterations * 1000) / elapsedMs;
  return { result, close: () => endpoint.close() };
});
