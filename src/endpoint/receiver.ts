// Receives. Without an open iterator every recv() posts a buffer of its own and the provider serves them in order. While
// messages() is open, messages land in its pool of buffers, and whoever asked first gets the first that fits.
import { checkBytes, closedError, typeError, unsupportedError } from '../fi/errors.js';
import { FI_ETRUNC } from '../fi/errno.js';
import type { Completions } from '../fi/index.js';
import { checkInto } from './arguments.js';
import type { Core } from './core.js';
import { checkDeadline, hasDeadline, watchDeadline, withReleased } from './deadline.js';
import { Discarder } from './discarder.js';
import { ArrivedMessage, Held } from './held.js';
import { Inbox, type PoolOptions } from './inbox.js';
import { Kind, type Operation, type Waiter, settling } from './operation.js';
import { Peer } from './peer.js';
import { ReceiveLine, type WantedReceive } from './receive-line.js';
import { type Chunk, Lease, SMALLEST_RECEIVE, copyInto, isLarge } from './slab.js';
import { spendTurn, untilNextTurn } from './turn.js';
import type { Limits, Message, ReceiveOptions, Received } from './types.js';

function anyMessage(buffer: Uint8Array): WantedReceive {
  const { length } = buffer;
  return { kind: Kind.Receive, buffer, lease: undefined, length, from: undefined, tag: 0n, ignore: 0n };
}

export class Receiver {
  readonly #core: Core;
  readonly #limits: Limits;
  readonly #owner: object;
  readonly inbox: Inbox;
  readonly line: ReceiveLine;
  #trying = false;
  /** The longest buffer of a plain receive; -1: none are, where memory must be registered. */
  readonly #plainBytes: number;
  readonly #namesSender: boolean;
  #discarder: Discarder | undefined;

  constructor(core: Core, owner: object, limits: Limits, pool: PoolOptions) {
    this.#core = core;
    this.#owner = owner;
    this.#limits = limits;
    this.#namesSender = core.opened.provider.namesSender;
    this.#plainBytes = core.memory.overflows ? SMALLEST_RECEIVE : -1;
    this.inbox = new Inbox(core, pool, () => {
      this.line.serve();
    });
    this.line = new ReceiveLine(core, this.inbox, (wanted) => this.#post(wanted, false));
    this.line.abort = (operation, reason) => {
      this.#abort(operation, reason);
    };
  }

  // ---- recv()

  #checkFrom(kind: Kind.Receive | Kind.ReceiveTagged, from: Peer | undefined): void {
    if (from === undefined) return;
    if (!(from instanceof Peer)) throw typeError('options.from', from, 'a Peer');
    if (from.owner !== this.#owner)
      throw typeError(
        'options.from',
        from,
        'a Peer of this endpoint',
        'Make one with this endpoint.peer(contact)',
      );
    if (from.closed) throw closedError(`the peer ${from.contact}`);
    const { info, provider } = this.#core.opened;
    // A provider that mistakes strangers for somebody else would hand over their messages too.
    if (!info.caps.includes('FI_DIRECTED_RECV') || !provider.namesSender)
      throw unsupportedError(`${provider.name} cannot receive from one peer only (FI_DIRECTED_RECV)`);
    if (kind === Kind.Receive && !provider.directsMessages)
      throw unsupportedError(
        `${provider.name} can receive from one peer only with tags (FI_DIRECTED_RECV): use recvTagged()`,
      );
  }

  /** recv() and recvTagged(). */
  recv(
    kind: Kind.Receive | Kind.ReceiveTagged,
    into: Uint8Array | Lease | number,
    tag: bigint,
    ignore: bigint,
    options: ReceiveOptions | undefined,
  ): Promise<Received> {
    const core = this.#core;
    try {
      core.requireOpen();
      if (
        options === undefined &&
        kind === Kind.Receive &&
        into instanceof Uint8Array &&
        into.length <= this.#plainBytes &&
        this.#isDirect()
      )
        return this.#recvInto(checkBytes('into', into));
      const length = checkInto(into, core.memory, this.#limits);
      const buffer = into instanceof Uint8Array ? into : undefined;
      const lease = into instanceof Lease ? into : undefined;
      const from = options?.from;
      if (options !== undefined) {
        this.#checkFrom(kind, from);
        checkDeadline(options);
      }
      const wanted = { kind, buffer, lease, length, from, tag, ignore };
      if (kind === Kind.Receive ? this.#isDirect() : this.line.isEmpty(kind)) {
        const operation = this.#post(wanted, true);
        if (operation !== undefined) return this.#await(operation, options);
      }
      return this.line.wait(wanted, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Whether the next message can only land in the next buffer that is posted. */
  #isDirect(): boolean {
    return this.line.isEmpty(Kind.Receive) && this.inbox.idle;
  }

  /**
   * recv() of the plainest kind, which decides the latency that programs see: the message of the receive just posted is
   * handed on as it is found, without its operation being looked up and settled.
   */
  #recvInto(buffer: Uint8Array): Promise<Received> {
    const core = this.#core;
    const { completions, operations, endpoint, engine } = core;
    const { length } = buffer;
    core.settleDeferred();
    const operation = operations.takeReceive();
    if (operation === undefined) return this.line.wait(anyMessage(buffer), undefined);
    const chunk = operation.home ?? (operation.home = core.memory.takeReceive(SMALLEST_RECEIVE));
    // One user for the operation's life, and one until whoever settles it releases the chunk.
    chunk.users = 2;
    operation.kind = Kind.Receive;
    operation.chunk = chunk;
    operation.buffer = buffer;
    operation.length = length;
    const { memory } = chunk;
    let posted = false;
    try {
      posted = endpoint.recvThenPoll(engine, memory, chunk.offset, chunk.room, operation.context);
    } finally {
      if (!posted) operations.release(operation);
    }
    if (!posted) return this.line.wait(anyMessage(buffer), undefined);
    const arrived = completions.lengthOfNewest(operation.context);
    if (arrived < 0 || arrived > length) return this.#await(operation, undefined);
    // Before it come, where the provider reports them, the sends that it is the answer to.
    const earlier = completions.count - 1;
    if (earlier !== 0) core.defer(earlier);
    const data = arrived === length ? buffer : buffer.subarray(0, arrived);
    copyInto(data, chunk.first(arrived));
    operations.releasePlain(operation);
    const source = completions.sourceOfNewest();
    const from = source >= 0 && this.#namesSender ? core.peersByAddress[source] : undefined;
    const immediate = completions.newestHasImmediate() ? completions.immediate(earlier) : undefined;
    const { counters } = core;
    counters.messagesReceived += 1;
    counters.bytesReceived += arrived;
    counters.bytesCopied += arrived;
    if (core.sendsWaiting !== 0) core.listener.roomMayBeThere();
    const atOnce = spendTurn();
    if (atOnce && immediate === undefined) {
      // Of literals made just here V8 knows that they are no promises, and does not look for their `then`.
      if (from !== undefined) return Promise.resolve<Received>({ length: arrived, data, from });
      return Promise.resolve<Received>({ length: arrived, data });
    }
    const message: Received = { length: arrived, data };
    if (from !== undefined) message.from = from;
    if (immediate !== undefined) message.immediate = immediate;
    return atOnce ? Promise.resolve(message) : untilNextTurn().then(() => message);
  }

  /**
   * Posts a buffer, and looks at once for its message where `look` is set. Undefined where the provider has no room.
   */
  #post(wanted: WantedReceive, look: boolean): Operation | undefined {
    const core = this.#core;
    const { kind, lease, length, from } = wanted;
    lease?.beginReceive();
    const operation = core.operations.takeReceive();
    if (operation === undefined) {
      lease?.end(true);
      return undefined;
    }
    const chunk = lease === undefined ? core.memory.takeReceive(length) : lease.chunk;
    // Before the call: it may find the message already.
    operation.kind = kind;
    operation.chunk = chunk;
    operation.lease = lease;
    operation.peer = from;
    operation.length = length;
    operation.buffer = wanted.buffer;
    let posted = false;
    try {
      if (chunk.slab.failure !== undefined) throw chunk.slab.failure;
      posted = chunk.slab.ready && this.#give(wanted, operation.context, chunk, look);
    } finally {
      if (!posted) {
        core.operations.release(operation);
        if (lease === undefined) core.memory.release(chunk);
        else lease.end(true);
      }
    }
    return posted ? operation : undefined;
  }

  /** Gives a buffer to the provider. */
  #give(wanted: WantedReceive, context: number, chunk: Chunk, look: boolean): boolean {
    const { endpoint, engine } = this.#core;
    const { memory, offset } = chunk;
    if (look) this.#core.settleDeferred();
    const room = chunk.room === 0 ? wanted.length : chunk.room;
    const address = wanted.from === undefined ? -1 : wanted.from.address;
    if (wanted.kind === Kind.ReceiveTagged)
      return endpoint.recvTagged(memory, offset, room, wanted.tag, context, wanted.ignore, address);
    return look
      ? endpoint.recvThenPoll(engine, memory, offset, room, context, address)
      : endpoint.recv(memory, offset, room, context, address);
  }

  /** Spins for a posted receive, and else gives a promise of it. */
  #await(operation: Operation, options: ReceiveOptions | undefined): Promise<Received> {
    const core = this.#core;
    // What comes first are often completions of sends: on until this one is there, or nothing is.
    let found = operation.kind === Kind.Receive ? core.takeFound() : core.poll(true);
    while (found !== 0 && !operation.done) found = core.poll(true);
    if (operation.done) {
      const { result, failure } = operation;
      core.operations.release(operation);
      if (result === undefined) return Promise.reject(failure);
      return spendTurn() ? Promise.resolve(result) : untilNextTurn().then(() => result);
    }
    return new Promise<Received>((resolve, reject) => {
      this.#attach(operation, { resolve, reject }, options);
    });
  }

  #attach(operation: Operation, waiter: Waiter<Received>, options: ReceiveOptions | undefined): void {
    const core = this.#core;
    core.beginWait();
    const stop = hasDeadline(options)
      ? watchDeadline(options, operation.kind === Kind.Receive ? 'recv' : 'recvTagged', (reason) => {
          this.#abort(operation, reason);
        })
      : undefined;
    operation.receive = settling(waiter, () => {
      stop?.();
      core.endWait();
    });
  }

  /** Completions came: there may be room for those in line. */
  roomMayBeThere(): void {
    this.line.serve();
    this.inbox.refillSeveral();
  }

  // ---- completions

  /** A receive has its message (or what fitted of it). */
  completed(operation: Operation, completions: Completions, index: number): void {
    if (this.#discarder?.completed(operation) === true) return;
    const { counters } = this.#core;
    const arrived = completions.length(index);
    if (this.#plain(operation, completions, index, arrived)) return;
    const kept = Math.min(arrived, operation.length);
    const { chunk } = operation;
    let length = kept;
    if (completions.error(index) === FI_ETRUNC || arrived > operation.length) {
      counters.truncated += 1;
      length = Math.max(arrived, kept + completions.overflow(index));
      if (chunk !== undefined && arrived > chunk.bytes.byteLength) chunk.memory.trim();
    }
    counters.messagesReceived += 1;
    counters.bytesReceived += kept;
    if ((operation.kind === Kind.Pool || operation.orphan) && chunk !== undefined) {
      const held = new Held(chunk, length, kept, operation.kind === Kind.Pool);
      this.#describe(held, completions, index);
      if (operation.kind === Kind.ReceiveTagged) held.tag = completions.tag(index);
      this.inbox.arrived(operation, held);
      return;
    }
    const message = new ArrivedMessage(length, this.#bytes(operation, kept));
    this.#describe(message, completions, index);
    if (length > kept) message.truncated = true;
    if (operation.kind === Kind.ReceiveTagged) message.tag = completions.tag(index);
    this.#finish(operation, message);
  }

  /** The common case, with nothing made that need not be: a whole message for the buffer of a recv(). */
  #plain(operation: Operation, completions: Completions, index: number, arrived: number): boolean {
    const { chunk, buffer } = operation;
    if (operation.kind !== Kind.Receive || buffer === undefined || chunk === undefined || operation.orphan)
      return false;
    if (completions.error(index) !== 0 || arrived > operation.length || buffer.length !== operation.length)
      return false;
    const { counters, memory } = this.#core;
    copyInto(buffer, chunk.first(arrived));
    memory.release(chunk);
    const message = new ArrivedMessage(
      arrived,
      arrived === buffer.length ? buffer : buffer.subarray(0, arrived),
    );
    this.#describe(message, completions, index);
    counters.messagesReceived += 1;
    counters.bytesReceived += arrived;
    counters.bytesCopied += arrived;
    if (operation.receive === undefined) {
      operation.done = true;
      operation.result = message;
    } else {
      this.#settle(operation, message, undefined);
    }
    return true;
  }

  /** Who sent it, and what came with it. */
  #describe(message: ArrivedMessage | Held, completions: Completions, index: number): void {
    const source = completions.source(index);
    const from = source >= 0 && this.#namesSender ? this.#core.peersByAddress[source] : undefined;
    if (from !== undefined) message.from = from;
    if (completions.hasImmediate(index)) message.immediate = completions.immediate(index);
  }

  #bytes(operation: Operation, length: number): Uint8Array {
    const { chunk } = operation;
    if (chunk === undefined) return new Uint8Array(0);
    return length === chunk.bytes.byteLength ? chunk.bytes : chunk.bytes.subarray(0, length);
  }

  /** Gives a message to the recv() whose buffer it arrived in. */
  #finish(operation: Operation, message: Received): void {
    let failure: unknown;
    try {
      this.#place(operation, message);
    } catch (error) {
      failure = error; // the program's buffer was transferred away meanwhile
    }
    this.#settle(operation, message, failure);
  }

  #settle(operation: Operation, message: Received, failure: unknown): void {
    const { receive, released } = operation;
    released?.();
    if (receive === undefined) {
      // It came while the call was spinning: the caller looks at the record.
      operation.done = true;
      operation.failure = failure;
      operation.result = failure === undefined ? message : undefined;
      return;
    }
    this.#core.operations.release(operation);
    if (failure === undefined) receive.resolve(message);
    else receive.reject(failure);
  }

  #place(operation: Operation, message: Received): void {
    const { chunk, lease, buffer } = operation;
    const { data } = message;
    if (lease !== undefined) {
      message.data = data.byteLength === lease.length ? lease.data : lease.data.subarray(0, data.byteLength);
      lease.end(true);
      return;
    }
    if (chunk === undefined) return;
    try {
      if (buffer !== undefined) {
        checkBytes('into', buffer);
        buffer.set(data);
        message.data = data.byteLength === buffer.byteLength ? buffer : buffer.subarray(0, data.byteLength);
      } else if (isLarge(chunk, data.length)) {
        this.#core.memory.handOver(chunk);
        return;
      } else {
        message.data = data.slice();
      }
      this.#core.counters.bytesCopied += data.byteLength;
    } finally {
      if (buffer !== undefined || !isLarge(chunk, data.length)) this.#core.memory.release(chunk);
    }
  }

  failed(operation: Operation, error: unknown, cancelled: boolean): void {
    const { receive, released, abortReason, orphan } = operation;
    if (operation.kind === Kind.Pool) {
      this.inbox.failed(operation, error, cancelled);
      return;
    }
    if (operation.lease !== undefined) operation.lease.end(true);
    else if (operation.chunk !== undefined) this.#core.memory.release(operation.chunk);
    released?.();
    const reason = abortReason === undefined ? error : withReleased(abortReason, Promise.resolve());
    if (receive === undefined && !orphan) {
      operation.done = true;
      operation.failure = reason;
      return;
    }
    this.#core.operations.release(operation);
    receive?.reject(reason);
  }

  // ---- giving up

  /**
   * The signal was aborted or the time is over. The provider is asked to cancel; its answer, which may be that the message
   * won the race, settles the promise. Where it cannot be asked the promise rejects now, and what the buffer may still
   * receive goes to the next who asks.
   */
  #abort(operation: Operation, reason: unknown): void {
    if (operation.receive === undefined) return;
    operation.abortReason = reason;
    let asked = false;
    const { endpoint, opened } = this.#core;
    try {
      if (operation.peer === undefined || opened.provider.cancelsDirected)
        asked = endpoint.cancel(operation.context);
    } catch {
      // unsupported: treated below
    }
    this.#core.poll(false);
    if (asked || operation.receive === undefined) {
      this.#abandonLater(operation, reason);
      return;
    }
    this.#orphan(operation, reason);
  }

  // A provider that was asked to cancel and never answers must not keep the promise from settling.
  #abandonLater(operation: Operation, reason: unknown): void {
    if (operation.receive === undefined || operation.abortReason !== reason) return;
    setTimeout(() => {
      if (operation.abortReason === reason && operation.receive !== undefined)
        this.#orphan(operation, reason);
    }, 200).unref();
  }

  #orphan(operation: Operation, reason: unknown): void {
    const { receive } = operation;
    operation.receive = undefined;
    operation.orphan = true;
    const released = new Promise<void>((resolve) => {
      operation.released = resolve;
    });
    receive?.reject(withReleased(reason, released));
  }

  /** Rejects the receives that are only from a peer. */
  closePeer(peer: Peer, reason: Error): void {
    this.line.reject(reason, peer);
    for (const operation of this.#core.operations.inFlight())
      if (operation.peer === peer && operation.kind >= Kind.Receive) this.#abort(operation, reason);
  }

  /** At close: every receive rejects, iterators end. */
  rejectAll(reason: Error): void {
    this.line.reject(reason);
    this.inbox.end();
    for (const operation of this.#core.operations.inFlight())
      if (operation.kind >= Kind.Receive && operation.receive !== undefined) this.#orphan(operation, reason);
  }

  /** At close: takes in and throws away what still arrives, until nothing does. */
  discard(): Discarder {
    this.#discarder = new Discarder(this.#core);
    return this.#discarder;
  }

  /** tryRecv(): the first call opens the pool for good. */
  tryRecv(): Message | undefined {
    if (!this.#trying) {
      this.#trying = true;
      this.inbox.open();
    }
    let held = this.inbox.take();
    if (held === undefined) {
      this.#core.poll(false);
      held = this.inbox.take();
    }
    return held === undefined ? undefined : this.inbox.own(held);
  }
}
