// The pool of posted buffers behind messages(), and the messages that have arrived and wait for somebody to take them.
// At most `buffers` buffers exist, posted or holding a message, so that a slow consumer holds back its peers instead of
// growing the heap.
import { ArrivalOrder } from './arrival-order.js';
import type { Core } from './core.js';
import { Kind, type Operation } from './operation.js';
import type { Peer } from './peer.js';
import { type Chunk, type Lease, isLarge } from './slab.js';
import type { Message } from './types.js';

/** A message as it is handed to the program. */
export class ArrivedMessage implements Message {
  length: number;
  data: Uint8Array;
  declare from?: Peer;
  declare tag?: bigint;
  declare immediate?: bigint;
  declare truncated?: true;

  constructor(length: number, data: Uint8Array) {
    this.length = length;
    this.data = data;
  }

  /** Nothing to do for a message that owns its data; borrowed ones override it. */
  [Symbol.dispose](): void {
    // owned by the garbage collector
  }
}

/** A message that still lies in its receive buffer. */
export interface Held {
  message: ArrivedMessage;
  chunk: Chunk;
  lease: Lease | undefined;
  /** Whether the buffer is one of the pool's. */
  pooled: boolean;
}

/** Somebody who wants the next message, or the next one of a peer. */
interface Taker {
  from: Peer | undefined;
  /** False where it no longer wants one. */
  give(held: Held): boolean;
  end: (() => void) | undefined;
}

/** What is kept posted, and whether what arrives keeps its order. */
export interface PoolOptions {
  buffers: number;
  size: number;
  ordered: boolean;
}

export class Inbox {
  readonly #core: Core;
  readonly #buffers: number;
  readonly #size: number;
  readonly #onIdle: () => void;
  readonly #free: Chunk[] = [];
  /** Messages that may be taken, in order. */
  readonly #held: Held[] = [];
  /** Where messages may overtake each other on their way and must not. */
  readonly #order: ArrivalOrder | undefined;
  #takers: Taker[] = [];
  #made = 0;
  #posted = 0;
  #wanted = 0;
  #ended = false;
  #tellingIdle = false;

  constructor(core: Core, pool: PoolOptions, onIdle: () => void) {
    this.#core = core;
    if (pool.ordered && !core.opened.provider.completesInOrder)
      this.#order = new ArrivalOrder(() => {
        this.#takeInOrder();
      });
    this.#buffers = pool.buffers;
    this.#size = pool.size;
    this.#onIdle = onIdle;
  }

  /** Whether a receive may be posted for itself: no message can come before it in the pool. */
  get idle(): boolean {
    return this.#wanted === 0 && this.#posted === 0 && this.#filled === 0;
  }

  get heldMessages(): number {
    return this.#filled;
  }

  /** Buffers with a message in them. */
  get #filled(): number {
    return this.#held.length + (this.#order?.waiting ?? 0);
  }

  /** An iterator opens: messages land in the pool from now on. */
  open(): void {
    this.#wanted += 1;
    this.refill();
  }

  /** An iterator ends. What arrives from now on waits for the next recv() or messages(). */
  close(): void {
    this.#wanted -= 1;
    if (this.#wanted !== 0 || this.#ended) return;
    for (const operation of this.#core.operations.inFlight())
      if (operation.kind === Kind.Pool) this.#cancel(operation);
    this.#core.poll(false);
    this.#shrink();
  }

  #cancel(operation: Operation): void {
    try {
      this.#core.endpoint.cancel(operation.context);
    } catch {
      // A provider that cannot cancel keeps the buffer posted; its message goes to the next who asks.
    }
  }

  /** Posts every free buffer. */
  refill(): void {
    if (this.#wanted === 0 || this.#ended || this.#core.state !== 'open') return;
    while (this.#posted + this.#filled < this.#buffers) {
      let chunk = this.#free.pop();
      if (chunk === undefined) {
        if (this.#made >= this.#buffers) return;
        chunk = this.#core.memory.takeReceive(this.#size);
        this.#made += 1;
      }
      if (!this.#post(chunk)) {
        this.#free.push(chunk);
        return;
      }
    }
  }

  #post(chunk: Chunk): boolean {
    const core = this.#core;
    if (chunk.slab.failure !== undefined || !chunk.slab.ready) return false;
    const operation = core.operations.takeReceive();
    if (operation === undefined) return false;
    let posted = false;
    try {
      posted = core.endpoint.recv(chunk.memory, chunk.offset, chunk.room || this.#size, operation.context);
    } catch (error) {
      core.listener.fault(error as Error);
    }
    if (!posted) {
      core.operations.release(operation);
      return false;
    }
    operation.kind = Kind.Pool;
    operation.chunk = chunk;
    operation.length = this.#size;
    this.#posted += 1;
    this.#order?.posted(chunk);
    return true;
  }

  /** Without iterators the pool's memory goes back. */
  #shrink(): void {
    if (this.#wanted !== 0) return;
    for (const chunk of this.#free.splice(0)) {
      this.#made -= 1;
      this.#core.memory.release(chunk);
    }
    if (this.idle && !this.#ended && !this.#tellingIdle) {
      this.#tellingIdle = true;
      this.#onIdle();
      this.#tellingIdle = false;
    }
  }

  /** A buffer of the pool, or one whose receive was given up, has its message. */
  arrived(operation: Operation, message: ArrivedMessage): void {
    const { chunk, lease, released } = operation;
    const pooled = operation.kind === Kind.Pool;
    if (pooled) this.#posted -= 1;
    this.#core.operations.release(operation);
    if (chunk === undefined) return;
    // A lease goes back to its owner: its message moves out.
    if (lease !== undefined) message.data = message.data.slice();
    const held = { message, chunk, lease, pooled };
    const waits = pooled && this.#order?.arrived(chunk, held) === true;
    if (!waits) this.#held.push(held);
    if (lease !== undefined) lease.end(true);
    released?.();
    if (waits) this.#takeInOrder();
    else this.#match();
  }

  /** Messages that no longer wait for one before them. */
  #takeInOrder(): void {
    for (let held = this.#order?.take(); held !== undefined; held = this.#order?.take())
      this.#held.push(held);
    this.#match();
  }

  failed(operation: Operation, error: unknown, cancelled: boolean): void {
    const { chunk } = operation;
    this.#posted -= 1;
    this.#core.operations.release(operation);
    if (chunk !== undefined) {
      this.#free.push(chunk);
      this.#order?.gone(chunk);
    }
    if (!cancelled) this.#core.listener.fault(error as Error);
    this.#takeInOrder();
    if (this.#wanted === 0) this.#shrink();
    else this.refill();
  }

  addTaker(from: Peer | undefined, give: (held: Held) => boolean, end?: () => void): void {
    this.#takers.push({ from, give, end });
    this.#match();
  }

  // Messages in the order of their arrival, each to the first who wants it.
  #match(): void {
    for (let index = 0; index < this.#held.length && this.#takers.length !== 0;) {
      const held = this.#held[index];
      const taker = this.#takers.find(({ from }) => from === undefined || from === held.message.from);
      if (taker === undefined) {
        index += 1;
        continue;
      }
      this.#takers.splice(this.#takers.indexOf(taker), 1);
      this.#held.splice(index, 1);
      if (!taker.give(held)) this.#held.splice(index, 0, held);
    }
  }

  /** The next message that nobody who waits wants. */
  take(): Held | undefined {
    return this.#held.shift();
  }

  /** The message with data of its own; its buffer goes back. */
  own(held: Held): ArrivedMessage {
    const { message, chunk, pooled, lease } = held;
    if (lease !== undefined) return message;
    if (isLarge(chunk, message.data.length)) {
      this.#core.memory.handOver(chunk);
      if (pooled) {
        this.#made -= 1;
        this.refill();
        this.#shrink();
      }
      return message;
    }
    message.data = message.data.slice();
    this.#core.counters.bytesCopied += message.data.byteLength;
    this.giveBack(held);
    return message;
  }

  /** Nobody needs the buffer of a message any more. */
  giveBack(held: Held): void {
    if (held.lease !== undefined) return;
    if (!held.pooled) {
      this.#core.memory.release(held.chunk);
    } else if (this.#wanted !== 0 && this.#post(held.chunk)) {
      return;
    } else {
      this.#free.push(held.chunk);
    }
    this.#shrink();
  }

  /** At close: iterators end. */
  end(): void {
    this.#ended = true;
    this.#order?.end();
    for (const taker of this.#takers.splice(0)) taker.end?.();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Whoever takes messages turns to the core for progress. */
  poll(): number {
    return this.#core.poll(true);
  }

  beginWait(): void {
    this.#core.beginWait();
  }

  endWait(): void {
    this.#core.endWait();
  }
}
