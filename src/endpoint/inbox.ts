// The pool of posted buffers behind messages(), and the messages that have arrived and wait for somebody to take them.
// At most `buffers` buffers exist, posted or holding a message, so that a slow consumer holds back its peers instead of
// growing the heap.
import { Endpoint as FiEndpoint } from '../fi/index.js';
import { ArrivalOrder } from './arrival-order.js';
import type { Core } from './core.js';
import type { ArrivedMessage, Held } from './held.js';
import { Later } from './later.js';
import { Kind, type Operation } from './operation.js';
import type { Peer } from './peer.js';
import { type Chunk, copyInto, isLarge } from './slab.js';

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
  /** Messages that may be taken, in order, from `#first` on. */
  readonly #held: (Held | undefined)[] = [];
  #first = 0;
  /** Where messages may overtake each other on their way and must not. */
  readonly #order: ArrivalOrder | undefined;
  #takers: Taker[] = [];
  #made = 0;
  #posted = 0;
  #wanted = 0;
  #ended = false;
  #tellingIdle = false;
  readonly #later = new Later(() => {
    this.refill();
  });

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
    return this.#held.length - this.#first + (this.#order === undefined ? 0 : this.#order.waiting);
  }

  /** How many more buffers may be posted. */
  get #room(): number {
    return this.#buffers - this.#posted - this.#filled;
  }

  /** As refill(), several at a time: most of the buffers are posted meanwhile. */
  refillSeveral(): void {
    if (this.#room * 4 >= this.#buffers || this.#posted === 0) this.refill();
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

  /** Posts every free buffer, in one crossing. */
  refill(): void {
    if (this.#wanted === 0 || this.#ended || this.#core.state !== 'open') return;
    const room = this.#room;
    if (room <= 0) return;
    const operations = this.#prepare(Math.min(room, FiEndpoint.batchLimit));
    if (operations.length === 0) return;
    let taken = 0;
    try {
      taken = this.#core.endpoint.recvBatch(operations.length);
    } catch (error) {
      this.#core.listener.fault(error as Error);
    }
    this.#posted += taken;
    if (taken === operations.length) return;
    this.#order?.refused(operations.length - taken);
    for (const operation of operations.slice(taken)) {
      if (operation.chunk !== undefined) this.#free.push(operation.chunk);
      this.#core.operations.release(operation);
    }
    // Else what arrives in those that are posted brings the next try.
    if (this.#posted === 0) this.#later.ask();
  }

  /** Writes up to `count` receives into the batch. */
  #prepare(count: number): Operation[] {
    const { batch } = FiEndpoint;
    const operations: Operation[] = [];
    while (operations.length < count) {
      const chunk = this.#takeBuffer();
      if (chunk === undefined) break;
      const usable = chunk.slab.failure === undefined && chunk.slab.ready;
      const operation = usable ? this.#core.operations.takeReceive() : undefined;
      if (operation === undefined) {
        this.#free.push(chunk);
        break;
      }
      operation.kind = Kind.Pool;
      operation.chunk = chunk;
      operation.length = this.#size;
      if (this.#order !== undefined) operation.place = this.#order.posted();
      const at = operations.length * 4;
      batch[at] = operation.context;
      batch[at + 1] = chunk.memory.id;
      batch[at + 2] = chunk.offset;
      batch[at + 3] = chunk.room === 0 ? this.#size : chunk.room;
      operations.push(operation);
    }
    return operations;
  }

  #takeBuffer(): Chunk | undefined {
    const chunk = this.#free.pop();
    if (chunk !== undefined || this.#made >= this.#buffers) return chunk;
    this.#made += 1;
    return this.#core.memory.takeReceive(this.#size);
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
  arrived(operation: Operation, held: Held): void {
    const { lease, released, place } = operation;
    const waits = held.pooled && this.#order?.arrived(place, held) === true;
    if (held.pooled) {
      this.#posted -= 1;
      this.#core.operations.releasePlain(operation);
    } else {
      this.#core.operations.release(operation);
    }
    if (!waits) this.#held.push(held);
    if (lease !== undefined) {
      // It goes back to its owner: its message moves out.
      held.moved = held.bytes.slice();
      lease.end(true);
    }
    released?.();
    if (this.#order !== undefined && this.#order.waiting !== 0) this.#takeInOrder();
    else if (this.#takers.length !== 0) this.#match();
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
      this.#order?.gone(operation.place);
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
    this.#held.splice(0, this.#first);
    this.#first = 0;
    for (let index = 0; index < this.#held.length && this.#takers.length !== 0;) {
      const held = this.#held[index];
      const taker = this.#takers.find(({ from }) => from === undefined || from === held?.from);
      if (taker === undefined || held === undefined) {
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
    if (this.#first === this.#held.length) return undefined;
    const held = this.#held[this.#first];
    this.#held[this.#first++] = undefined;
    if (this.#first === this.#held.length) this.#first = this.#held.length = 0;
    return held;
  }

  /** The message with data of its own; its buffer goes back. `moreFollow`: as giveBack(). */
  own(held: Held, moreFollow = false): ArrivedMessage {
    const { chunk, kept, pooled, moved } = held;
    if (moved !== undefined) return held.message(moved);
    if (isLarge(chunk, kept)) {
      const message = held.message(held.bytes);
      this.#core.memory.handOver(chunk);
      if (pooled) {
        this.#made -= 1;
        this.refill();
        this.#shrink();
      }
      return message;
    }
    const data = new Uint8Array(kept);
    copyInto(data, held.bytes);
    this.#core.counters.bytesCopied += kept;
    this.giveBack(held, moreFollow);
    return held.message(data);
  }

  /** Nobody needs the buffer of a message any more. `moreFollow` at once: so one buffer need not be posted for itself. */
  giveBack(held: Held, moreFollow = false): void {
    if (held.moved !== undefined) return;
    if (!held.pooled) {
      this.#core.memory.release(held.chunk);
      return;
    }
    this.#free.push(held.chunk);
    if (this.#wanted === 0) this.#shrink();
    else if (this.#posted !== 0 || !moreFollow) this.refillSeveral();
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
    this.refillSeveral();
    return this.#core.poll(true);
  }

  beginWait(): void {
    this.#core.beginWait();
  }

  endWait(): void {
    this.#core.endWait();
  }
}
