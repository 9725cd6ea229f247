/** One side of a ping-pong on the fabric: an endpoint with all that it needs, its buffers, and who waits for messages. */
import type { EventQueue, Fabric } from '../fi/index.js';
import {
  AddressVector,
  CompletionError,
  type CompletionQueue,
  Domain,
  Endpoint,
  Engine,
  type FabricObject,
  type Info,
  Memory,
  MemoryRegion,
  type SharedMemoryName,
} from '../fi/index.js';
import { openQueue } from '../endpoint/open.js';
import { providerNamed } from '../endpoint/providers.js';
import { SILENCE_MS } from './pingpong-control.js';
import type { PingpongOptions } from './pingpong-options.js';

/** Of every tagged message, as in fi_pingpong. */
const TAG = 1234n;
/** Room for the last message, however small the others are. */
const SMALLEST_BUFFER = 64;
/** As long as fi_pingpong's longest message. */
const LONGEST_MESSAGE = 6 << 20;
/** How long one call looks for a completion before the loop turns. */
const SPIN_MICROSECONDS = 50;
const CLOSE_MS = 5000;
/** How long after the other side has gone its last message may be on its way. */
const LAST_MESSAGE_MS = 5000;
const SEND_CONTEXT = 0;
const FIRST_RECEIVE_CONTEXT = 1;

/** What a link is made of, by type of endpoint. */
export interface LinkParts {
  readonly info: Info;
  readonly fabric: Fabric;
  readonly domain: Domain;
  readonly events: EventQueue;
  readonly queue: CompletionQueue;
  readonly endpoint: Endpoint;
  /** Not for connected endpoints. */
  readonly addresses: AddressVector | undefined;
}

/** Opens what every type of endpoint needs, from a fabric and an event queue that are there. */
export async function openEndpoint(
  info: Info,
  fabric: Fabric,
  events: EventQueue,
  opened: FabricObject[],
  name?: SharedMemoryName,
): Promise<LinkParts> {
  const provider = providerNamed(info.provider);
  const keep = <T extends FabricObject>(object: T): T => {
    opened.push(object);
    return object;
  };
  const domain = keep(await Domain.open(fabric, info));
  const queue = keep(await openQueue(domain, provider));
  const connects = info.endpointType === 'FI_EP_MSG';
  const addresses = connects ? undefined : keep(await AddressVector.open(domain));
  const endpoint = keep(await Endpoint.open(domain, info));
  endpoint.bind(events);
  endpoint.bind(queue);
  if (addresses !== undefined) endpoint.bind(addresses);
  name?.giveTo(endpoint);
  await endpoint.enable();
  return { info, fabric, domain, events, queue, endpoint, addresses };
}

/** A message that came. Its bytes are valid until the buffer is posted again. */
export interface Arrival {
  readonly bytes: Uint8Array;
  readonly buffer: number;
}

export class Link {
  readonly info: Info;
  /** Longest message of this run. */
  readonly longest: number;
  readonly #endpoint: Endpoint;
  readonly #engine: Engine;
  readonly #tagged: boolean;
  readonly #prefixes: { send: number; receive: number };
  readonly #out: Memory;
  readonly #in: readonly Memory[];
  readonly #arrived: { context: number; length: number }[] = [];
  #peer = 0;
  #sent = true;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  private constructor(parts: LinkParts, options: PingpongOptions, memories: readonly Memory[]) {
    const { info, queue, endpoint } = parts;
    const { spins } = providerNamed(info.provider);
    this.info = info;
    this.longest = longestOf(info, options);
    this.#endpoint = endpoint;
    this.#tagged = options.mode === 'tagged';
    this.#prefixes = prefixesOf(info);
    [this.#out, ...this.#in] = memories as [Memory, ...Memory[]];
    this.#engine = Engine.start(queue, {
      // A domain for one thread leaves no place for the engine's own.
      mode: info.threading === 'FI_THREAD_SAFE' ? 'auto' : 'inline',
      sleepBy: queue.waitFd >= 0 ? providerNamed(info.provider).sleepBy : 'backoff',
      spinMicroseconds: spins ? SPIN_MICROSECONDS : 0,
      onReadable: () => this.#wake?.(),
    });
  }

  /** Buffers for one message out and `receives` in, and the first receives. */
  static async open(
    parts: LinkParts,
    options: PingpongOptions,
    receives: number,
    opened: FabricObject[],
  ): Promise<Link> {
    const { info, domain } = parts;
    const room = Math.max(longestOf(info, options), SMALLEST_BUFFER);
    const { send, receive } = prefixesOf(info);
    const lengths = [room + send, ...Array<number>(receives).fill(room + receive)];
    const memories = lengths.map((length) => Memory.allocate(length));
    if (info.memoryMode.includes('FI_MR_LOCAL'))
      for (const memory of memories) opened.push(await MemoryRegion.register(domain, memory));
    const link = new Link(parts, options, memories);
    for (let buffer = 0; buffer < receives; buffer++) await link.post(buffer);
    return link;
  }

  /** Whom to send to, of an endpoint without connection. */
  set peer(address: number) {
    this.#peer = address;
  }

  /** The other side is gone: whatever waits ends with the reason. */
  fail(reason: Error): void {
    this.#failure ??= reason;
    this.#wake?.();
  }

  /** The same, unless it comes within a time. */
  failSoon(reason: Error): void {
    setTimeout(() => {
      this.fail(reason);
    }, LAST_MESSAGE_MS).unref();
  }

  /** Where to write the message that is to be sent next. */
  get outgoing(): Uint8Array {
    return this.#out.bytes.subarray(this.#prefixes.send, this.#prefixes.send + this.longestBuffer);
  }

  get longestBuffer(): number {
    return Math.max(this.longest, SMALLEST_BUFFER);
  }

  /** Sends the first bytes of `outgoing`, and waits until they may be written again. */
  async send(length: number, completion?: 'transmit'): Promise<void> {
    const whole = this.#prefixes.send + length;
    const [endpoint, memory, peer] = [this.#endpoint, this.#out, this.#peer];
    if (completion === undefined && length < this.info.injectSize) {
      await this.#posted('a send', () =>
        this.#tagged
          ? endpoint.injectTagged(memory, 0, whole, peer, TAG)
          : endpoint.inject(memory, 0, whole, peer),
      );
      return;
    }
    const flags = { completion };
    this.#sent = false;
    await this.#posted('a send', () =>
      this.#tagged
        ? endpoint.sendTagged(memory, 0, whole, peer, TAG, SEND_CONTEXT, flags)
        : endpoint.send(memory, 0, whole, peer, SEND_CONTEXT, flags),
    );
    await this.#until('the end of a send', () => this.#sent);
  }

  /** The next message. */
  async receive(): Promise<Arrival> {
    await this.#until('a message', () => this.#arrived.length > 0);
    const [{ context, length }] = this.#arrived.splice(0, 1);
    const buffer = context - FIRST_RECEIVE_CONTEXT;
    const start = this.#prefixes.receive;
    return { buffer, bytes: this.#in[buffer].bytes.subarray(start, Math.max(start, length)) };
  }

  /** Posts a buffer for the next message. */
  async post(buffer: number): Promise<void> {
    const memory = this.#in[buffer];
    const length = this.#prefixes.receive + this.longestBuffer;
    const context = FIRST_RECEIVE_CONTEXT + buffer;
    await this.#posted('a receive', () =>
      this.#tagged
        ? this.#endpoint.recvTagged(memory, 0, length, TAG, context)
        : this.#endpoint.recv(memory, 0, length, context),
    );
  }

  /** Calls until the provider has room. */
  async #posted(what: string, call: () => boolean): Promise<void> {
    const deadline = Date.now() + SILENCE_MS;
    while (!call()) {
      this.#take();
      if (this.#failure !== undefined) throw this.#failure;
      if (Date.now() > deadline)
        throw new Error(`the provider had no room for ${what} within ${String(SILENCE_MS / 1000)} s`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async #until(what: string, isSo: () => boolean): Promise<void> {
    const deadline = Date.now() + SILENCE_MS;
    for (;;) {
      this.#take();
      if (isSo()) return;
      if (this.#failure !== undefined) throw this.#failure;
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`${what} did not come within ${String(SILENCE_MS / 1000)} s`);
      await this.#turn(left);
    }
  }

  /** Until the queue may have something, or it is time to give up. */
  async #turn(boundMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, boundMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }

  /** Reads the queue. */
  #take(): void {
    const count = this.#engine.poll(true);
    const { completions } = this.#engine.queue;
    for (let index = 0; index < count; index++) {
      const context = completions.context(index);
      if (completions.error(index) !== 0) this.#failure ??= this.#errorAt(index, context);
      else if (context === SEND_CONTEXT) this.#sent = true;
      else this.#arrived.push({ context, length: completions.length(index) });
    }
  }

  #errorAt(index: number, context: number): Error {
    const { queue } = this.#engine;
    return new CompletionError({
      errno: queue.completions.error(index),
      providerErrno: queue.completions.providerError(index),
      providerMessage: queue.errorText(index),
      provider: this.info.provider,
      operation: context >= FIRST_RECEIVE_CONTEXT ? 'recv' : 'send',
      length: queue.completions.length(index),
    });
  }

  /** Nothing of it reads the queue any more. */
  stop(): void {
    this.#engine.stop();
  }
}

function prefixesOf({ transmit, receive }: Info): { send: number; receive: number } {
  return { send: transmit.messagePrefixSize, receive: receive.messagePrefixSize };
}

function longestOf(info: Info, { size }: PingpongOptions): number {
  return Math.min(typeof size === 'number' ? size : LONGEST_MESSAGE, info.maxMessageSize);
}

/** Closes in libfabric's order. A close that hangs, as some do where the other side died, is left behind. */
export async function closeAll(opened: readonly FabricObject[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), CLOSE_MS);
  });
  // Endpoints first: their receives use what is registered.
  const isEndpoint = (object: FabricObject): boolean => object instanceof Endpoint;
  const newestFirst = [...opened].reverse();
  const all = [...newestFirst.filter(isEndpoint), ...newestFirst.filter((object) => !isEndpoint(object))];
  const closing = (async () => {
    for (const object of all) await object.close();
    return true as const;
  })();
  const finished = await Promise.race([closing.catch(() => false), late]);
  clearTimeout(timer);
  if (!finished) for (const object of all) object.abandon();
}
