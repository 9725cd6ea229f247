/** Libfabric's own objects for a test: opened for a provider, read by the test itself, closed after it in order. */
import { onTestFinished } from 'vitest';
import {
  type Access,
  AddressVector,
  CompletionQueue,
  type CompletionQueueOptions,
  Counter,
  Domain,
  Endpoint,
  EventQueue,
  FI_CONTEXT,
  FI_CONTEXT2,
  FI_SOURCE,
  Fabric,
  type FabricObject,
  type Hints,
  type Info,
  Memory,
  MemoryRegion,
  SharedMemoryName,
  WaitSet,
  getInfo,
} from 'libfabric/fi';
import type { ProviderUnderTest } from './providers.js';

/** How long anything may take before a test gives up and says what it waited for. */
const BOUND_MS = 15_000;

export interface FiOptions {
  /** Capabilities to ask for; default messages and, where there are any, tagged ones. */
  caps?: readonly string[];
  /** What to open, in place of what the provider offers for `caps`. */
  info?: Info;
  queue?: CompletionQueueOptions;
  /** Whether the queue is to wake a wait set, the side's `waitSet`. */
  waitSet?: boolean;
  /** Counters to bind, by the flags of what each counts. */
  counters?: readonly bigint[];
  /** Binds the queue to the endpoint in another way than for both directions. */
  bindQueue?: (endpoint: Endpoint, queue: CompletionQueue) => void;
  /** What else is to be done with the endpoint before it is enabled. */
  prepare?: (endpoint: Endpoint) => void;
}

/** What a completion said, copied out of the queue's reused record. */
export interface Completed {
  context: number;
  error: number;
  text: string;
  length: number;
  source: number;
  isReceive: boolean;
  isTagged: boolean;
  tag: bigint | undefined;
  immediate: bigint | undefined;
  place: number;
  isReleased: boolean;
  flags: number;
  overflow: number;
}

export function hintsFor(
  provider: ProviderUnderTest,
  caps: readonly string[] = provider.isBare ? ['FI_MSG'] : ['FI_MSG', 'FI_TAGGED'],
): Hints {
  const messageOrder = provider.isBare ? [] : ['FI_ORDER_SAS'];
  return {
    providerName: provider.name,
    // The other one of the same provider is listed before or behind it, by the library's version.
    ...(provider.fabric === undefined ? {} : { fabricName: provider.fabric }),
    endpointType: 'FI_EP_RDM',
    caps,
    mode: FI_CONTEXT | FI_CONTEXT2,
    memoryMode: ['FI_MR_LOCAL', 'FI_MR_VIRT_ADDR', 'FI_MR_ALLOCATED', 'FI_MR_PROV_KEY'],
    threading: 'FI_THREAD_SAFE',
    addressVectorType: 'FI_AV_TABLE',
    resourceManagement: 'FI_RM_ENABLED',
    transmit: { messageOrder },
    receive: { messageOrder },
  };
}

/** The first Info of exactly this provider, bound to the loopback interface where it has addresses. */
export async function infoFor(
  provider: ProviderUnderTest,
  caps?: readonly string[],
  node = provider.node,
): Promise<Info> {
  const target = node === undefined ? {} : { node, flags: FI_SOURCE };
  const infos = await getInfo(hintsFor(provider, caps), target);
  const info = infos.find((entry) => entry.provider === provider.name);
  if (info === undefined) throw new Error(`fi_getinfo lists no ${provider.name} for this test`);
  return info;
}

/** The same of a domain that does nothing by itself: what is posted, or comes in, waits until a queue of it is read. */
export async function unattendedInfo(provider: ProviderUnderTest, caps?: readonly string[]): Promise<Info> {
  const hints = { ...hintsFor(provider, caps), dataProgress: 'FI_PROGRESS_MANUAL' };
  const infos = await getInfo(hints, { node: provider.node!, flags: FI_SOURCE });
  const info = infos.find((entry) => entry.provider === provider.name);
  if (info?.dataProgress !== 'FI_PROGRESS_MANUAL')
    throw new Error(`${provider.name} has no FI_PROGRESS_MANUAL for this test`);
  return info;
}

/** The next turn of the loop. Some providers have threads of their own, which spinning would starve. */
export function turn(provider: ProviderUnderTest): Promise<void> {
  return new Promise((resolve) => {
    if (provider.spins) setImmediate(resolve);
    else setTimeout(resolve, 1);
  });
}

/** One endpoint with all that it needs. */
export class FiSide {
  /** What was read so far, oldest first. */
  readonly completed: Completed[] = [];
  readonly #memory: FabricObject[] = [];
  /** As asked for, in order. */
  readonly counters: Counter[] = [];
  /** Where one was asked for. */
  waitSet: WaitSet | undefined;
  #nextContext = 0;

  constructor(
    readonly provider: ProviderUnderTest,
    readonly info: Info,
    readonly fabric: Fabric,
    readonly domain: Domain,
    readonly events: EventQueue,
    readonly queue: CompletionQueue,
    readonly addresses: AddressVector,
    readonly endpoint: Endpoint,
  ) {}

  /** A context that no earlier operation of the test had. */
  context(): number {
    return this.#nextContext++;
  }

  /** Memory that operations of this side may use: registered where the provider asks for that. */
  async memory(content: number | Uint8Array): Promise<Memory> {
    const memory = Memory.allocate(Math.max(1, typeof content === 'number' ? content : content.byteLength));
    if (typeof content !== 'number') memory.bytes.set(content);
    if (this.info.memoryMode.includes('FI_MR_LOCAL'))
      this.#memory.push(await MemoryRegion.register(this.domain, memory));
    return memory;
  }

  /** Memory that the other side may read and write, by its region's `remote`. */
  async exposed(
    content: number | Uint8Array,
    access: Access = ['send', 'recv', 'read', 'write', 'remoteRead', 'remoteWrite'],
  ): Promise<MemoryRegion> {
    const memory = Memory.allocate(typeof content === 'number' ? content : content.byteLength);
    if (typeof content !== 'number') memory.bytes.set(content);
    const region = await MemoryRegion.register(this.domain, memory, { access });
    this.#memory.push(region);
    return region;
  }

  /** Reads the queue once and keeps what it had. */
  read(): void {
    const { queue, completed } = this;
    const count = queue.read();
    const { completions } = queue;
    for (let index = 0; index < count; index++) {
      const isTagged = completions.isTagged(index);
      completed.push({
        context: completions.context(index),
        error: completions.error(index),
        text: completions.error(index) === 0 ? '' : queue.errorText(index),
        length: completions.length(index),
        source: completions.source(index),
        isReceive: completions.isReceive(index),
        isTagged,
        tag: isTagged ? completions.tag(index) : undefined,
        immediate: completions.hasImmediate(index) ? completions.immediate(index) : undefined,
        place: completions.place(index),
        isReleased: completions.isReleased(index),
        flags: completions.flags(index),
        overflow: completions.overflow(index),
      });
    }
  }

  /** The completion of a context, where it was read. */
  of(context: number): Completed | undefined {
    return this.completed.find((entry) => entry.context === context);
  }

  /** Closes what is still open, in libfabric's order. */
  async close(): Promise<void> {
    const { endpoint, queue, addresses, domain, events, fabric, counters } = this;
    for (const object of [endpoint, ...this.#memory, ...counters, queue, addresses, domain, events])
      await object.close();
    await this.waitSet?.close();
    await fabric.close();
  }
}

/** As openSide(), but the caller closes it: nothing else refers to it. `opened` gets the objects as they come. */
export async function openOwnSide(
  provider: ProviderUnderTest,
  options: FiOptions = {},
  opened: FabricObject[] = [],
): Promise<FiSide> {
  const step = async <T extends FabricObject>(opening: Promise<T>): Promise<T> => {
    const object = await opening;
    opened.push(object);
    return object;
  };
  const name = provider.sharedMemoryFiles ? SharedMemoryName.claim() : undefined;
  try {
    const info = options.info ?? (await infoFor(provider, options.caps, name?.name ?? provider.node));
    const fabric = await step(Fabric.open(info));
    const domain = await step(Domain.open(fabric, info));
    const events = await step(EventQueue.open(fabric));
    const waitSet = options.waitSet === true ? await step(WaitSet.open(fabric)) : undefined;
    const waking = waitSet === undefined ? {} : { waitSet };
    const queue = await step(CompletionQueue.open(domain, { ...options.queue, ...waking }));
    const addresses = await step(AddressVector.open(domain));
    const endpoint = await step(Endpoint.open(domain, info));
    for (const other of [events, addresses]) endpoint.bind(other);
    if (options.bindQueue === undefined) endpoint.bind(queue);
    else options.bindQueue(endpoint, queue);
    options.prepare?.(endpoint);
    const side = new FiSide(provider, info, fabric, domain, events, queue, addresses, endpoint);
    side.waitSet = waitSet;
    for (const flags of options.counters ?? []) {
      const counter = await step(Counter.open(domain));
      endpoint.bind(counter, flags);
      side.counters.push(counter);
    }
    name?.giveTo(endpoint);
    await endpoint.enable();
    return side;
  } catch (error) {
    name?.release();
    throw error;
  }
}

/** An endpoint, enabled, with everything that it depends on; closed after the test. */
export async function openSide(provider: ProviderUnderTest, options: FiOptions = {}): Promise<FiSide> {
  const opened: FabricObject[] = [];
  const sides: FiSide[] = [];
  onTestFinished(async () => {
    for (const side of sides) await side.close();
    for (const object of opened.reverse()) await object.close();
  });
  const side = await openOwnSide(provider, options, opened);
  sides.push(side);
  return side;
}

/** Two endpoints, each with objects of its own, that know each other. */
export class FiPair {
  constructor(
    readonly a: FiSide,
    readonly b: FiSide,
    /** b, in a's address vector. */
    readonly toB: number,
    /** a, in b's address vector. */
    readonly toA: number,
  ) {}

  /** Reads both queues until something is so. */
  async until(what: string, isSo: () => boolean): Promise<void> {
    const deadline = Date.now() + BOUND_MS;
    for (;;) {
      this.a.read();
      this.b.read();
      if (isSo()) return;
      if (Date.now() > deadline) throw new Error(`${what}: not within ${BOUND_MS} ms`);
      await turn(this.a.provider);
    }
  }

  /** Repeats a post that answers false, which means that there is no room now. */
  async post(what: string, call: () => boolean): Promise<void> {
    await this.until(`room for ${what}`, call);
  }

  /** The completion of an operation of one side. */
  async completion(side: FiSide, context: number): Promise<Completed> {
    await this.until(`completion of context ${context}`, () => side.of(context) !== undefined);
    return side.of(context)!;
  }

  /** Sends from a to b and answers b's completion, once a's has come too. */
  async transfer(send: (context: number) => boolean, recv: (context: number) => boolean): Promise<Completed> {
    const received = this.b.context();
    const sent = this.a.context();
    await this.post('the receive', () => recv(received));
    await this.post('the send', () => send(sent));
    const completed = await this.completion(this.b, received);
    const { error, text } = await this.completion(this.a, sent);
    if (error !== 0) throw new Error(`the send failed: ${error} ${text}`);
    return completed;
  }
}

/** Makes two endpoints known to each other. */
export function introduceSides(a: FiSide, b: FiSide): FiPair {
  const toB = a.addresses.insert(b.endpoint.getName());
  const toA = b.addresses.insert(a.endpoint.getName());
  return new FiPair(a, b, toB, toA);
}

/** An Info for another endpoint of a side's domain: each shm endpoint needs a name of its own, which fi_getinfo makes up. */
export async function anotherInfo({ provider, info }: FiSide): Promise<Info> {
  return provider.sharedMemoryFiles ? infoFor(provider, undefined, undefined) : info;
}

/** The address vector for it: the side's own, but efa takes one endpoint for each (FI_ENOSYS). */
export async function anotherAddresses({ provider, domain, addresses }: FiSide): Promise<AddressVector> {
  if (provider.name !== 'efa') return addresses;
  const more = await AddressVector.open(domain);
  onTestFinished(() => more.close());
  return more;
}

/** Two endpoints that know each other; closed after the test. */
export async function openSides(provider: ProviderUnderTest, options: FiOptions = {}): Promise<FiPair> {
  return introduceSides(await openSide(provider, options), await openSide(provider, options));
}

/** Bytes that differ from place to place and from seed to seed. */
export function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let value = seed >>> 0;
  for (let index = 0; index < length; index++) {
    value = (Math.imul(value, 1664525) + 1013904223) >>> 0;
    bytes[index] = value >>> 24;
  }
  return bytes;
}

/** Whether bytes are equal; as one comparison, since expect() compares a MiB element by element. */
export function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}
