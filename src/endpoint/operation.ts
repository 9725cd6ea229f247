// Operations in flight: one reusable record per context of the completion queue.
import type { Chunk, Lease } from './slab.js';
import type { Peer } from './peer.js';
import type { Received } from './types.js';

export enum Kind {
  Free,
  Send,
  SendTagged,
  Write,
  Read,
  Atomic,
  FetchAtomic,
  CompareAtomic,
  /** A receive of the program's. */
  Receive,
  ReceiveTagged,
  /** A buffer of messages(). */
  Pool,
}

const names = [
  ...['none', 'send', 'sendTagged'],
  ...['write', 'read', 'atomic', 'fetchAtomic', 'compareAtomic'],
  ...['recv', 'recvTagged', 'recv'],
];

export function kindName(kind: Kind): string {
  return names[kind];
}

/** Whether the provider writes into a Lease that the operation was given: it has the Lease for itself. */
export function fillsLease(kind: Kind): boolean {
  return kind >= Kind.Receive || kind === Kind.Read;
}

/** Who waits for an operation. Settled once. */
export interface Waiter<T> {
  resolve(value: T): void;
  reject(reason: unknown): void;
}

/** Stands for a waiter while the caller itself looks whether the operation is done: then there need be no promise. */
export class Outcome implements Waiter<void> {
  settled = false;
  failed = false;
  reason: unknown;

  resolve(): void {
    this.settled = true;
  }

  reject(reason: unknown): void {
    this.settled = true;
    this.failed = true;
    this.reason = reason;
  }
}

/** A waiter that cleans up before it settles. */
export function settling<T>(waiter: Waiter<T>, cleanUp: () => void): Waiter<T> {
  return {
    resolve: (value) => {
      cleanUp();
      waiter.resolve(value);
    },
    reject: (reason) => {
      cleanUp();
      waiter.reject(reason);
    },
  };
}

/** An operation in flight. */
export class Operation {
  readonly context: number;
  /** A small receive buffer of its own, so that the plainest receives need not take and release one. */
  home: Chunk | undefined;
  kind = Kind.Free;
  chunk: Chunk | undefined;
  lease: Lease | undefined;
  peer: Peer | undefined;
  length = 0;
  /** The program's own buffer, which is written when the message has arrived. */
  buffer: Uint8Array | undefined;
  /** Whom to tell; undefined where nobody waits (a copied message that is on its way). */
  send: Waiter<void> | undefined;
  /** Of an operation that brings something: takes it out of the chunk, before whoever waits is told. */
  bring: ((chunk: Chunk) => void) | undefined;
  receive: Waiter<Received> | undefined;
  /** The outcome, where it came before anybody waited for it. */
  result: Received | undefined;
  failure: unknown;
  /** Set when the operation was aborted: called when the provider lets go of the memory. */
  released: (() => void) | undefined;
  /** The reason of an abort whose cancellation is under way. */
  abortReason: unknown;
  /** The program gave up this receive: what it brings goes to somebody else. */
  orphan = false;
  done = false;
  /** Of a buffer of the pool: which message it gets (ArrivalOrder). */
  place = 0;

  constructor(context: number) {
    this.context = context;
  }

  reset(): void {
    this.kind = Kind.Free;
    this.chunk = undefined;
    this.lease = undefined;
    this.peer = undefined;
    this.buffer = undefined;
    this.send = undefined;
    this.bring = undefined;
    this.receive = undefined;
    this.result = undefined;
    this.failure = undefined;
    this.released = undefined;
    this.abortReason = undefined;
    this.orphan = false;
    this.done = false;
  }
}

/** The records of a completion queue: half of the contexts for sends, half for receives, so that neither starves. */
export class OperationTable {
  readonly #all: (Operation | undefined)[];
  readonly #freeSends: number[] = [];
  readonly #freeReceives: number[] = [];
  readonly capacity: number;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#all = new Array<Operation | undefined>(capacity).fill(undefined);
    const half = capacity / 2;
    for (let context = half - 1; context >= 0; context--) this.#freeSends.push(context);
    for (let context = capacity - 1; context >= half; context--) this.#freeReceives.push(context);
  }

  takeSend(): Operation | undefined {
    return this.#take(this.#freeSends);
  }

  takeReceive(): Operation | undefined {
    return this.#take(this.#freeReceives);
  }

  #take(free: number[]): Operation | undefined {
    const context = free.pop();
    if (context === undefined) return undefined;
    return (this.#all[context] ??= new Operation(context));
  }

  at(context: number): Operation | undefined {
    return this.#all[context];
  }

  release(operation: Operation): void {
    operation.reset();
    const { context } = operation;
    (context < this.capacity / 2 ? this.#freeSends : this.#freeReceives).push(context);
  }

  /** As release(), of a receive that was plain and is done. */
  releasePlain(operation: Operation): void {
    operation.kind = Kind.Free;
    operation.chunk = undefined;
    operation.buffer = undefined;
    this.#freeReceives.push(operation.context);
  }

  get sendsFree(): number {
    return this.#freeSends.length;
  }

  get sendsInFlight(): number {
    return this.capacity / 2 - this.#freeSends.length;
  }

  get receivesInFlight(): number {
    return this.capacity / 2 - this.#freeReceives.length;
  }

  *inFlight(): Iterable<Operation> {
    for (const operation of this.#all)
      if (operation !== undefined && operation.kind !== Kind.Free) yield operation;
  }
}
