// What the parts of an endpoint share: libfabric's objects, the operations in flight, memory, counters, and the one
// place where completions are taken in.
import { CompletionError, closedError } from '../fi/errors.js';
import { FI_ECANCELED, FI_ETRUNC } from '../fi/errno.js';
import type {
  AccessWord,
  AddressVector,
  CompletionQueue,
  Completions,
  Domain,
  Endpoint as FiEndpoint,
  Engine,
  EventQueue,
  Fabric,
  Info,
} from '../fi/index.js';
import { Kind, type Operation, OperationTable, fillsLease, kindName } from './operation.js';
import type { Peer } from './peer.js';
import type { Provider } from './providers.js';
import { SlabAllocator } from './slab.js';
import type { EndpointStats } from './types.js';

/** Bytes of copied messages in flight; more wait for room. */
export const MAX_BYTES_IN_FLIGHT = 16 * 1024 * 1024;

/** libfabric's objects behind an endpoint, opened and bound. */
export interface Opened {
  provider: Provider;
  info: Info;
  fabric: Fabric;
  domain: Domain;
  queue: CompletionQueue;
  addresses: AddressVector;
  events: EventQueue;
  endpoint: FiEndpoint;
}

/** Numbers that stats() reports. */
export class Counters {
  messagesSent = 0;
  bytesSent = 0;
  messagesReceived = 0;
  bytesReceived = 0;
  writes = 0;
  bytesWritten = 0;
  reads = 0;
  bytesRead = 0;
  atomics = 0;
  bytesCopied = 0;
  timesWithoutRoom = 0;
  truncated = 0;
  errors = 0;

  /** Whether the provider took anything that went to a peer. */
  get anythingSent(): boolean {
    return this.messagesSent + this.writes + this.atomics !== 0;
  }

  values(): Pick<EndpointStats, keyof Omit<Counters, 'values' | 'anythingSent'>> {
    return Object.assign({}, this as Omit<Counters, 'values' | 'anythingSent'>);
  }
}

/** Takes over completed receives, and what to do when memory, slots or room came free. */
export interface Listener {
  receiveCompleted(operation: Operation, completions: Completions, index: number): void;
  /** A receive failed; `error` is the fi_errno. */
  receiveFailed(operation: Operation, error: unknown, cancelled: boolean): void;
  roomMayBeThere(): void;
  fault(error: Error): void;
}

/** What the endpoint itself does with memory that is registered for it. */
function accessFor({ caps }: Info): readonly AccessWord[] {
  const oneSided = caps.includes('FI_RMA') || caps.includes('FI_ATOMIC');
  return oneSided ? ['send', 'recv', 'read', 'write'] : ['send', 'recv'];
}

export class Core {
  readonly opened: Opened;
  readonly endpoint: FiEndpoint;
  readonly queue: CompletionQueue;
  readonly completions: Completions;
  readonly operations: OperationTable;
  readonly memory: SlabAllocator;
  readonly counters = new Counters();
  readonly peersByAddress: (Peer | undefined)[] = [];
  engine!: Engine;
  listener!: Listener;
  /** 'closing': no new operations; sends drain. */
  state: 'open' | 'closing' | 'closed' = 'open';
  /** Sends that wait for room: who reads completions then tells them. */
  sendsWaiting = 0;
  /** Promises and iterators of the program's that wait for something. */
  #waiting = 0;
  #deferred = 0;

  constructor(opened: Opened) {
    this.opened = opened;
    this.endpoint = opened.endpoint;
    this.queue = opened.queue;
    this.completions = opened.queue.completions;
    this.operations = new OperationTable(opened.queue.capacity);
    const mustRegister = opened.info.memoryMode.includes('FI_MR_LOCAL');
    this.memory = new SlabAllocator(mustRegister ? opened.domain : undefined, accessFor(opened.info), () => {
      this.listener.roomMayBeThere();
    });
  }

  requireOpen(): void {
    if (this.state !== 'open') throw closedError('the Endpoint');
  }

  /** While somebody waits, the endpoint must not be collected. */
  beginWait(): void {
    if (this.#waiting++ === 0) this.engine.hold(true);
  }

  endWait(): void {
    if (--this.#waiting === 0) this.engine.hold(false);
  }

  /** Reads the queue and settles what has completed; how many operations. */
  poll(spin: boolean): number {
    const settled = this.settleDeferred();
    const count = this.engine.poll(spin);
    if (count !== 0) this.#takeIn(count);
    return settled + count;
  }

  /** Settles what a call that reads the queue by the way has found; how many operations. */
  takeFound(): number {
    const { count } = this.completions;
    if (count !== 0) this.#takeIn(count);
    return count;
  }

  #takeIn(count: number): void {
    this.#settleFirst(count);
    this.listener.roomMayBeThere();
  }

  /**
   * Leaves the first of the completions that were read last for later: a program that has its message should answer it
   * before the sends are settled that came with it. They stay in the queue's ring, which the engine never forgets, until
   * the next poll; whoever reads the queue settles them first.
   */
  defer(count: number): void {
    this.#deferred = count;
  }

  /** Settles what was deferred; how many operations. */
  settleDeferred(): number {
    const count = this.#deferred;
    if (count === 0) return 0;
    this.#deferred = 0;
    this.#takeIn(count);
    return count;
  }

  #settleFirst(count: number): void {
    const { completions } = this;
    for (let index = 0; index < count; index++) {
      const operation = this.operations.at(completions.context(index));
      if (operation === undefined || operation.kind === Kind.Free) this.#stray(index);
      else if (completions.error(index) !== 0) this.#failed(operation, index);
      else if (operation.kind >= Kind.Receive) this.listener.receiveCompleted(operation, completions, index);
      else this.sendSettled(operation, undefined);
    }
  }

  /** An injected message that failed, or an event of the endpoint's. */
  #stray(index: number): void {
    if (this.completions.error(index) === 0) return;
    this.counters.errors += 1;
    this.listener.fault(this.errorAt(index, 'unknown', undefined, 0, undefined));
  }

  errorAt(
    index: number,
    operation: string,
    peer: string | undefined,
    length: number,
    tag: bigint | undefined,
  ): CompletionError {
    return new CompletionError({
      errno: this.completions.error(index),
      providerErrno: this.completions.providerError(index),
      providerMessage: this.queue.errorText(index),
      provider: this.opened.provider.name,
      operation,
      peer,
      length,
      tag,
    });
  }

  #failed(operation: Operation, index: number): void {
    const { completions } = this;
    const errno = completions.error(index);
    if (operation.kind >= Kind.Receive && errno === FI_ETRUNC) {
      this.listener.receiveCompleted(operation, completions, index);
      return;
    }
    // Only receives are ever cancelled from here; what else ends so has failed.
    const cancelled = errno === FI_ECANCELED && operation.kind >= Kind.Receive;
    if (!cancelled) this.counters.errors += 1;
    const tag = operation.kind === Kind.ReceiveTagged ? completions.tag(index) : undefined;
    const error = this.errorAt(
      index,
      kindName(operation.kind),
      operation.peer?.contact,
      operation.length,
      tag,
    );
    if (operation.kind >= Kind.Receive) this.listener.receiveFailed(operation, error, cancelled);
    else this.sendSettled(operation, error);
  }

  /** A send is done: gives back what it used, and tells who waits. */
  sendSettled(operation: Operation, error: Error | undefined): void {
    const { kind, send, bring, released, chunk, lease, peer } = operation;
    if (peer !== undefined && --peer.inFlight === 0 && peer.closed) peer.owner.idle(peer);
    this.operations.release(operation);
    let failure = error;
    if (bring !== undefined && chunk !== undefined && failure === undefined && send !== undefined) {
      try {
        bring(chunk);
      } catch (lost) {
        failure = lost as Error; // the program's buffer was transferred away meanwhile
      }
    }
    this.#releaseSend(chunk, lease, peer, kind);
    released?.();
    if (send !== undefined) {
      if (failure === undefined) send.resolve();
      else send.reject(failure);
    } else if (failure !== undefined && released === undefined) {
      this.listener.fault(failure);
    }
  }

  /** Bytes of copied messages that are in flight. */
  bytesInFlight = 0;

  /**
   * Whether one more message to a peer, of so many bytes that are copied, may be in flight. A peer gets no more than it
   * leaves to the others, so that one that does not read never stops them; one message it may always have.
   */
  hasRoomFor(peer: Peer, bytes: number): boolean {
    const { inFlight, bytesInFlight } = peer;
    if (inFlight === 0) return true;
    if (inFlight >= this.operations.sendsFree) return false;
    return bytes === 0 || bytesInFlight + bytes <= MAX_BYTES_IN_FLIGHT - this.bytesInFlight;
  }

  #releaseSend(
    chunk: Operation['chunk'],
    lease: Operation['lease'],
    peer: Peer | undefined,
    kind: Kind,
  ): void {
    if (lease !== undefined) {
      lease.end(fillsLease(kind));
    } else if (chunk !== undefined) {
      // A chunk of several messages counts once, when the last of them is done.
      if (chunk.users === 1) {
        this.bytesInFlight -= chunk.bytes.byteLength;
        if (peer !== undefined) peer.bytesInFlight -= chunk.bytes.byteLength;
      }
      this.memory.release(chunk);
    }
  }
}
