// Memory for messages: slabs of page-aligned memory that the addon owns, cut into chunks of one size each, registered
// once where the provider asks for it. What is in flight always lies here, so that nothing a program does to its own
// buffers (transfer, resize, collect) can reach memory that a NIC uses.
import { type Access, type Domain, Memory, MemoryRegion } from '../fi/index.js';
import { type FabricError, checkInteger, closedError, inUseError } from '../fi/errors.js';

const SMALLEST = 64;
const LARGEST_POOLED = 65536;
const SLAB_BYTES = 256 * 1024;
/** Bytes of large blocks kept for reuse. */
const LARGE_KEPT_BYTES = 32 * 1024 * 1024;
/**
 * Address space behind each receive buffer. What providers do with a message longer than its buffer: shm 1.17 never
 * comes back, shm 2.1 crashes, net and tcp;ofi_rxm lose the connection, udp;ofi_rxd says nothing. So none of them is ever
 * shown a buffer that is too short, up to this length.
 */
const OVERFLOW_BYTES = 2 ** 30;
/** The smallest receive buffer: a page. */
export const SMALLEST_RECEIVE = 4096;
/**
 * Receive buffers of one size lie pages apart: were all to begin on a page, the beginnings, which are all that short messages use,
 * would have to share a few lines of the processor's caches. So each begins a line after the one before.
 */
const STAGGER_BYTES = 64;
const STAGGERED_BYTES = 4096;

/** A piece of a slab, for one message. */
export class Chunk {
  readonly memory: Memory;
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** @internal */
  readonly slab: Slab;
  /** What a receive may be told it has, where there is room behind the bytes; 0: no more than the bytes. */
  readonly room: number;
  #view: Uint8Array;

  /** The first bytes. The last view is kept, since messages of one length tend to follow each other. */
  first(length: number): Uint8Array {
    if (this.#view.length !== length) this.#view = this.bytes.subarray(0, length);
    return this.#view;
  }

  /** Users of a chunk that carries several messages. */
  users = 1;

  constructor(slab: Slab, offset: number, length: number) {
    this.slab = slab;
    this.memory = slab.memory;
    this.offset = offset;
    this.room = slab.overflows ? slab.memory.capacity - offset : 0;
    this.bytes = slab.memory.bytes.subarray(offset, offset + length);
    this.#view = this.bytes;
  }
}

/** Free chunks by size class: the index is log2 of the size. */
type FreeLists = Chunk[][];

class Slab {
  readonly memory: Memory;
  readonly size: number;
  /** Where its chunks are kept while they are free. */
  readonly free: FreeLists;
  region: MemoryRegion | undefined;
  /** Whether operations may use it: registered, where it must be. */
  ready: boolean;
  failure: FabricError | undefined;
  registering: Promise<void> | undefined;

  readonly overflows: boolean;
  #abandoned = false;

  constructor(
    free: FreeLists,
    size: number,
    bytes: number,
    overflow: number,
    domain: Domain | undefined,
    access: Access,
    onReady: () => void,
  ) {
    this.free = free;
    this.size = size;
    this.memory = Memory.allocate(bytes, { overflow });
    this.overflows = overflow !== 0;
    this.ready = domain === undefined;
    if (domain !== undefined) this.registering = this.#register(domain, access, onReady);
  }

  async #register(domain: Domain, access: Access, onReady: () => void): Promise<void> {
    try {
      this.region = await MemoryRegion.register(domain, this.memory, { access });
      this.ready = true;
    } catch (error) {
      this.failure = error as FabricError;
    }
    if (this.#abandoned) this.region?.abandon();
    onReady();
  }

  /** Closes the registration, once it is there, and gives the memory back. */
  async close(): Promise<void> {
    await this.registering;
    await this.region?.close();
    this.memory.free();
  }

  /** The registration stays until the process ends, also one that is still under way. */
  abandon(): void {
    this.#abandoned = true;
    this.region?.abandon();
  }
}

// eslint-disable-next-line @typescript-eslint/unbound-method -- called with its `this`, below
const { set } = Uint8Array.prototype;

/** Copies all of one array to the start of another. As a call of a known function: V8 looks up `set` anew each time. */
export function copyInto(target: Uint8Array, source: Uint8Array): void {
  set.call(target, source);
}

/** A length rounded up to whole cache lines, so that what lies behind it starts on one of its own. */
export function toCacheLines(length: number): number {
  return (length + 63) & ~63;
}

/** log2 of a chunk's size, rounded up. */
function classOf(size: number): number {
  return size <= 2 ** 30 ? 32 - Math.clz32(size - 1) : Math.ceil(Math.log2(size));
}

/** The size of the chunks that serve `length` bytes: a power of two. */
function sizeFor(length: number): number {
  return length <= SMALLEST ? SMALLEST : 2 ** (32 - Math.clz32(length - 1));
}

function freeLists(): FreeLists {
  return Array.from({ length: 54 }, () => []);
}

/** The endpoint's memory. */
export class SlabAllocator {
  readonly #domain: Domain | undefined;
  readonly #access: Access;
  readonly #onReady: () => void;
  readonly #slabs = new Set<Slab>();
  readonly #free = freeLists();
  // The same for receive buffers, each of which has a slab, and room behind it, for itself; and for those of leases, which are
  // sent from too.
  readonly #freeReceives = freeLists();
  readonly #freeLeases = freeLists();
  #largeKept = 0;
  #stagger = 0;

  /**
   * `domain` where the provider wants memory registered (FI_MR_LOCAL), for `access`; `onReady` when a slab became usable.
   */
  constructor(domain: Domain | undefined, access: Access, onReady: () => void) {
    this.#domain = domain;
    this.#access = access;
    this.#onReady = onReady;
  }

  /** A chunk of at least `length` bytes. Its content is whatever was there before. */
  take(length: number): Chunk {
    if (length > LARGEST_POOLED) return this.#takeLarge(length);
    const size = sizeFor(length);
    const free = this.#free[classOf(size)];
    return free.pop() ?? this.#grow(size, free);
  }

  #grow(size: number, free: Chunk[]): Chunk {
    const slab = this.#slab(this.#free, size, Math.max(SLAB_BYTES, size * 4));
    for (let offset = slab.memory.length - size; offset > 0; offset -= size)
      free.push(new Chunk(slab, offset, size));
    return new Chunk(slab, 0, size);
  }

  #slab(free: FreeLists, size: number, bytes: number, overflow = 0): Slab {
    const slab = new Slab(free, size, bytes, overflow, this.#domain, this.#access, this.#onReady);
    this.#slabs.add(slab);
    return slab;
  }

  /**
   * A chunk to receive into. Where memory must be registered there is no room behind it: those providers (EFA) report a
   * message that is too long, and do no harm.
   */
  takeReceive(length: number): Chunk {
    return this.#takeRoomy(this.#freeReceives, length, true);
  }

  /** The same for a lease. Where it begins on a page, whoever copies from it to another process has fewer pages to find. */
  takeLease(length: number): Chunk {
    return this.#takeRoomy(this.#freeLeases, length, false);
  }

  #takeRoomy(free: FreeLists, length: number, staggered: boolean): Chunk {
    if (this.#domain !== undefined) return this.take(length);
    const size = Math.max(SMALLEST_RECEIVE, length <= 2 ** 30 ? sizeFor(length) : length);
    const kept = this.#reuse(free, size, length);
    if (kept !== undefined) return kept;
    if (!staggered || size > LARGEST_POOLED)
      return new Chunk(this.#slab(free, size, size, OVERFLOW_BYTES), 0, size);
    this.#stagger = (this.#stagger + STAGGER_BYTES) % STAGGERED_BYTES;
    return new Chunk(this.#slab(free, size, size + STAGGERED_BYTES, OVERFLOW_BYTES), this.#stagger, size);
  }

  /** Whether receive buffers have room behind them. */
  get overflows(): boolean {
    return this.#domain === undefined;
  }

  #reuse(free: FreeLists, size: number, length: number): Chunk | undefined {
    const list = free[classOf(size)];
    const last = list.at(-1);
    if (last === undefined || last.bytes.byteLength < length) return undefined;
    list.pop();
    if (size > LARGEST_POOLED) this.#largeKept -= last.slab.memory.length;
    return last;
  }

  // Large blocks have powers of two too, so that a block can serve again; above 2^30 the exact size.
  #takeLarge(length: number): Chunk {
    const size = length <= 2 ** 30 ? sizeFor(length) : length;
    return this.#reuse(this.#free, size, length) ?? new Chunk(this.#slab(this.#free, size, size), 0, size);
  }

  /** Gives a chunk back. Only when no operation uses it. */
  release(chunk: Chunk): void {
    if (--chunk.users > 0) return;
    chunk.users = 1;
    const { size, memory, free } = chunk.slab;
    if (size > LARGEST_POOLED) {
      if (this.#largeKept + memory.length > LARGE_KEPT_BYTES) {
        this.#discard(chunk.slab);
        return;
      }
      this.#largeKept += memory.length;
    }
    free[classOf(size)].push(chunk);
  }

  /** Parts with a large chunk for good: its memory now belongs to whoever holds a view of it. */
  handOver(chunk: Chunk): void {
    this.#discard(chunk.slab);
  }

  #discard(slab: Slab): void {
    if (slab.region === undefined) {
      this.#slabs.delete(slab);
      slab.memory.free();
      return;
    }
    // Unregistering may block: it happens elsewhere, and the endpoint's close waits for it.
    slab.close().then(
      () => this.#slabs.delete(slab),
      () => undefined,
    );
  }

  /**
   * Closes the registrations, at the endpoint's end. Memory that is still pinned goes when it no longer is.
   *
   * @returns What failed.
   */
  close(): Promise<unknown[]> {
    for (const free of [this.#free, this.#freeReceives, this.#freeLeases])
      for (const list of free) list.length = 0;
    return failuresOf([...this.#slabs].map((slab) => slab.close()));
  }

  /** Gives up what close() could not close: it stays registered, and so allocated, until the process ends. */
  abandon(): void {
    for (const slab of this.#slabs) slab.abandon();
    this.#slabs.clear();
  }
}

/** Why promises rejected, once all have settled. */
export async function failuresOf(promises: readonly Promise<unknown>[]): Promise<unknown[]> {
  const outcomes = await Promise.allSettled(promises);
  return outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
}

/**
 * Whether a message of so many bytes is to get its chunk handed over rather than be copied out of it. A short message in
 * a long chunk is copied: it would keep all of the chunk.
 */
export function isLarge(chunk: Chunk, length: number): boolean {
  return length > LARGEST_POOLED && chunk.slab.size > LARGEST_POOLED;
}

// Who owns a lease; separate from the class so that Lease needs no public constructor.
const owners = new WeakMap<Lease, { allocator: SlabAllocator; chunk: Chunk }>();

/**
 * Registered memory, lent to the program: messages are sent from it and received into it without a copy. Dispose of it
 * when it is no longer needed; in flight it cannot be reused, and returns to its slab only when it has landed.
 */
export class Lease implements Disposable {
  /** The bytes. Never transfer their buffer; a structuredClone of them copies the whole slab behind. */
  readonly data: Uint8Array;
  #sending = 0;
  #receiving = false;
  #disposed = false;

  /** @internal */
  constructor(allocator: SlabAllocator, bytes: number) {
    checkInteger('bytes', bytes, 1, Number.MAX_SAFE_INTEGER);
    const chunk = allocator.takeLease(bytes);
    owners.set(this, { allocator, chunk });
    this.data = chunk.bytes.byteLength === bytes ? chunk.bytes : chunk.bytes.subarray(0, bytes);
  }

  /** Bytes. */
  get length(): number {
    return this.data.byteLength;
  }

  /** Whether dispose was called. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** @internal The memory, for an operation; still there after dispose while something is in flight. */
  get chunk(): Chunk {
    const owner = owners.get(this);
    if (owner === undefined) throw closedError('the Lease');
    return owner.chunk;
  }

  /** @internal Whether it was lent by this allocator, and not given back yet. */
  isOf(allocator: SlabAllocator): boolean {
    return !this.#disposed && owners.get(this)?.allocator === allocator;
  }

  /** @internal */
  beginSend(): void {
    if (this.#receiving) throw inUseError('the Lease is being received into; await that first');
    this.#sending += 1;
  }

  /** @internal */
  beginReceive(): void {
    if (this.#receiving || this.#sending > 0) throw inUseError('the Lease is in flight; await that first');
    this.#receiving = true;
  }

  /** @internal */
  end(receive: boolean): void {
    if (receive) this.#receiving = false;
    else this.#sending -= 1;
    if (this.#disposed) this.#return();
  }

  #return(): void {
    if (this.#sending > 0 || this.#receiving) return;
    const owner = owners.get(this);
    if (owner === undefined) return;
    owners.delete(this);
    owner.allocator.release(owner.chunk);
  }

  /** Gives the memory back, once nothing in flight uses it. Idempotent. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#return();
  }
}
