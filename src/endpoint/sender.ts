// Sends: in the order of the calls for each peer, copied at once where there is room, waiting for room otherwise.
import { checkBytes, rangeError } from '../fi/errors.js';
import type { SendFlags } from '../fi/index.js';
import { checkCompletion, checkData, checkImmediate, checkPeer } from './arguments.js';
import { BATCH_BYTES, injectBatch, postBatch } from './batch.js';
import type { Core } from './core.js';
import { checkDeadline } from './deadline.js';
import { Kind, type Operation, type Waiter } from './operation.js';
import { Peer, type PeerOwner } from './peer.js';
import { type Job, SendQueue } from './send-queue.js';
import { type Chunk, Lease, copyInto } from './slab.js';
import { spendTurn, untilNextTurn } from './turn.js';
import type { Deadline, Limits, SendOptions } from './types.js';

/** Resolved already: the answer of most sends, which are copied. */
const RESOLVED = Promise.resolve();
const LARGEST_INJECTED = 4096;
/** Sends up to this length need no chunk of their own: each operation keeps one. */
const LARGEST_PLAIN = 512;

/** A batch of copied messages on its way. */
interface Part {
  readonly items: readonly (Uint8Array | Lease)[];
  sent: number;
  /** Where they are injected from; undefined where they are too long for that. */
  readonly scratch: Chunk | undefined;
}

export class Sender {
  readonly #core: Core;
  readonly #owner: PeerOwner;
  readonly #limits: Limits;
  readonly queue: SendQueue;
  /** The largest message that is injected; -1: none, its message might be lost at close. */
  readonly #injectSize: number;
  readonly #plainSize: number;
  #scratch: Chunk | undefined;
  #batchScratch: Chunk | undefined;

  constructor(core: Core, owner: PeerOwner, limits: Limits, sendTimeoutMs: number) {
    this.#core = core;
    this.#owner = owner;
    this.#limits = limits;
    this.queue = new SendQueue(core, sendTimeoutMs);
    this.#plainSize = Math.min(LARGEST_PLAIN, limits.maxMessageSize);
    this.#injectSize = core.opened.provider.injectsAtOnce
      ? Math.min(limits.injectSize, LARGEST_INJECTED)
      : -1;
  }

  #checkData(data: unknown): void {
    checkData(data, this.#core.memory, this.#limits);
  }

  /** What libfabric must be told of the options; undefined where nothing. */
  #flags(options: SendOptions): SendFlags | undefined {
    const { immediate } = options;
    checkImmediate(immediate, this.#limits);
    const { provider } = this.#core.opened;
    const completion = checkCompletion(options.completion, provider, provider.delivery);
    return immediate === undefined && completion === undefined ? undefined : { immediate, completion };
  }

  /** Gives a message to the provider; undefined where there is no room. Throws what else the provider says. */
  #post(
    kind: Kind,
    peer: Peer,
    data: Uint8Array | Lease,
    tag: bigint,
    flags: SendFlags | undefined,
    waiter: Waiter<void> | undefined,
  ): Operation | undefined {
    const core = this.#core;
    const lease = data instanceof Lease ? data : undefined;
    const { length } = data;
    if (!core.hasRoomFor(peer, lease === undefined ? length : 0)) return undefined;
    lease?.beginSend();
    const operation = core.operations.takeSend();
    if (operation === undefined) {
      lease?.end(false);
      return undefined;
    }
    let chunk: Chunk | undefined;
    let posted = false;
    try {
      chunk = lease === undefined ? core.memory.take(length) : lease.chunk;
      if (chunk.slab.failure !== undefined) throw chunk.slab.failure;
      if (lease === undefined) copyInto(chunk.bytes, data as Uint8Array);
      const { memory, offset } = chunk;
      const { context } = operation;
      if (chunk.slab.ready)
        posted =
          kind === Kind.Send
            ? core.endpoint.send(memory, offset, length, peer.address, context, flags)
            : core.endpoint.sendTagged(memory, offset, length, peer.address, tag, context, flags);
    } finally {
      if (!posted) this.#abandon(operation, lease, chunk);
    }
    if (!posted) {
      core.counters.timesWithoutRoom += 1;
      return undefined;
    }
    operation.kind = kind;
    operation.chunk = chunk;
    operation.lease = lease;
    operation.peer = peer;
    operation.length = length;
    // A copied message is done for the caller, unless it asked to know more.
    if (lease !== undefined || flags?.completion !== undefined) operation.send = waiter;
    if (lease === undefined) {
      core.bytesInFlight += chunk.bytes.byteLength;
      peer.bytesInFlight += chunk.bytes.byteLength;
      core.counters.bytesCopied += length;
    }
    peer.inFlight += 1;
    core.counters.messagesSent += 1;
    core.counters.bytesSent += length;
    return operation;
  }

  #abandon(operation: Operation, lease: Lease | undefined, chunk: Chunk | undefined): void {
    this.#core.operations.release(operation);
    if (lease !== undefined) lease.end(false);
    else if (chunk !== undefined) this.#core.memory.release(chunk);
  }

  /** send() and sendTagged(). */
  send(
    kind: Kind,
    peer: Peer,
    tag: bigint,
    data: Uint8Array | Lease,
    options: SendOptions | undefined,
  ): Promise<void> {
    try {
      this.#core.requireOpen();
      // The plainest kind, which decides the latency that programs see.
      if (
        options === undefined &&
        kind === Kind.Send &&
        data instanceof Uint8Array &&
        data.length <= this.#plainSize &&
        peer instanceof Peer &&
        peer.owner === this.#owner &&
        !peer.closed &&
        peer.waiting.length === 0
      ) {
        checkBytes('data', data);
        const sent =
          data.length <= this.#injectSize ? this.#inject(kind, peer, data, tag) : this.#postPlain(peer, data);
        if (sent) return spendTurn() ? RESOLVED : untilNextTurn();
      }
      checkPeer(peer, this.#owner);
      this.#checkData(data);
      let flags: SendFlags | undefined;
      if (options !== undefined) {
        flags = this.#flags(options);
        checkDeadline(options);
      }
      if (flags?.completion === undefined && peer.waiting.length === 0 && !(data instanceof Lease)) {
        const posted =
          flags === undefined && data.length <= this.#injectSize
            ? this.#injectOrProgress(kind, peer, data, tag)
            : this.#postOrProgress(kind, peer, data, tag, flags);
        if (posted) return spendTurn() ? RESOLVED : untilNextTurn();
      }
      return this.#wait(kind, peer, data, tag, flags, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Sends as soon as there is room, after what waits already. */
  #wait(
    kind: Kind,
    peer: Peer,
    data: Uint8Array | Lease,
    tag: bigint,
    flags: SendFlags | undefined,
    deadline: Deadline | undefined,
  ): Promise<void> {
    const lease = data instanceof Lease ? data : undefined;
    try {
      // In flight from here on, for the program: disposing of it now must not lend its memory to somebody else.
      lease?.beginSend();
    } catch (error) {
      return Promise.reject(error);
    }
    const job: Job = {
      kind,
      post: (waiter) => {
        if (!(data instanceof Lease)) checkBytes('data', data);
        return this.#post(kind, peer, data, tag, flags, waiter);
      },
      leave: () => lease?.end(false),
    };
    return this.queue.add(peer, job, deadline);
  }

  /** As #post(), of the plainest kind. */
  #postPlain(peer: Peer, data: Uint8Array): boolean {
    const core = this.#core;
    const { length } = data;
    if (!core.hasRoomFor(peer, 0)) return false;
    const operation = core.operations.takeSend();
    if (operation === undefined) return false;
    const chunk = operation.home ?? (operation.home = core.memory.take(LARGEST_PLAIN));
    let posted = false;
    try {
      copyInto(chunk.bytes, data);
      if (chunk.slab.ready)
        posted = core.endpoint.send(chunk.memory, chunk.offset, length, peer.address, operation.context);
    } finally {
      if (!posted) core.operations.release(operation);
    }
    if (!posted) return false;
    operation.kind = Kind.Send;
    operation.peer = peer;
    operation.length = length;
    peer.inFlight += 1;
    const { counters } = core;
    counters.bytesCopied += length;
    counters.messagesSent += 1;
    counters.bytesSent += length;
    return true;
  }

  /** Injects: no slot, no completion. Without room makes progress and tries once more. */
  #injectOrProgress(kind: Kind, peer: Peer, data: Uint8Array, tag: bigint): boolean {
    if (this.#inject(kind, peer, data, tag)) return true;
    this.#core.poll(false);
    return peer.waiting.length === 0 && this.#inject(kind, peer, data, tag);
  }

  #inject(kind: Kind, peer: Peer, data: Uint8Array, tag: bigint): boolean {
    const { endpoint, counters, memory } = this.#core;
    const { length } = data;
    const chunk = (this.#scratch ??= memory.take(this.#injectSize));
    copyInto(chunk.bytes, data);
    const sent =
      kind === Kind.Send
        ? endpoint.inject(chunk.memory, chunk.offset, length, peer.address)
        : endpoint.injectTagged(chunk.memory, chunk.offset, length, peer.address, tag);
    if (!sent) {
      counters.timesWithoutRoom += 1;
      return false;
    }
    counters.bytesCopied += length;
    counters.messagesSent += 1;
    counters.bytesSent += length;
    return true;
  }

  /** Posts; without room makes progress and tries once more. */
  #postOrProgress(
    kind: Kind,
    peer: Peer,
    data: Uint8Array | Lease,
    tag: bigint,
    flags: SendFlags | undefined,
  ): boolean {
    if (this.#post(kind, peer, data, tag, flags, undefined) !== undefined) return true;
    this.#core.poll(false);
    // Progress may have changed who is first: sends that wait go before this one.
    return peer.waiting.length === 0 && this.#post(kind, peer, data, tag, flags, undefined) !== undefined;
  }

  trySend(
    kind: Kind,
    peer: Peer,
    tag: bigint,
    data: Uint8Array | Lease,
    options: SendOptions | undefined,
  ): boolean {
    this.#core.requireOpen();
    checkPeer(peer, this.#owner);
    this.#checkData(data);
    if (options?.completion !== undefined && options.completion !== 'buffer')
      throw rangeError(
        'options.completion',
        options.completion,
        "'buffer': trySend() has no promise that could tell",
      );
    const flags = options === undefined ? undefined : this.#flags(options);
    if (peer.waiting.length !== 0 || !this.#postOrProgress(kind, peer, data, tag, flags)) return false;
    if (data instanceof Lease) data[Symbol.dispose]();
    return true;
  }

  /** sendBatch(): one crossing for many; what finds no room waits, in order. */
  async sendBatch(
    peer: Peer,
    items: Iterable<Uint8Array | Lease>,
    options: SendOptions | undefined,
  ): Promise<void> {
    this.#core.requireOpen();
    checkPeer(peer, this.#owner);
    const all = [...items];
    let longest = 0;
    let areCopied = true;
    for (const item of all) {
      this.#checkData(item);
      if (item instanceof Lease) areCopied = false;
      else if (item.length > longest) longest = item.length;
    }
    const flags = options === undefined ? undefined : this.#flags(options);
    if (options !== undefined) checkDeadline(options);
    if (flags !== undefined || !areCopied) return this.#sendEach(peer, all, flags, options);
    const scratch =
      longest <= this.#injectSize ? (this.#batchScratch ??= this.#core.memory.take(BATCH_BYTES)) : undefined;
    const part = { items: all, sent: 0, scratch };
    if (peer.waiting.length !== 0 || !this.#sendMore(peer, part)) await this.#sendRest(peer, part, options);
    if (!spendTurn()) await untilNextTurn();
  }

  /** Sends as much of a batch as there is room for. Whether that was all. */
  #sendMore(peer: Peer, part: Part): boolean {
    const { items, scratch } = part;
    while (part.sent < items.length) {
      let step =
        scratch === undefined
          ? postBatch(this.#core, peer, items, part.sent)
          : injectBatch(this.#core, peer, items, part.sent, scratch);
      if (step === 0 && items[part.sent].length > BATCH_BYTES)
        step = this.#post(Kind.Send, peer, items[part.sent], 0n, undefined, undefined) === undefined ? 0 : 1;
      if (step === 0) return false;
      part.sent += step;
    }
    return true;
  }

  /** The rest of a batch, as one that waits: as soon as there is room for some of it, after what waits already. */
  #sendRest(peer: Peer, part: Part, deadline: Deadline | undefined): Promise<void> {
    const { items } = part;
    const lengths = items.map(({ length }) => length);
    const job: Job = {
      kind: Kind.Send,
      post: () => {
        const before = part.sent;
        // One that was transferred away meanwhile has lost its length.
        for (let index = before; index < items.length; index++)
          if (items[index].length !== lengths[index]) checkBytes('items', items[index]);
        if (this.#sendMore(peer, part)) return 'all';
        return part.sent === before ? undefined : 'some';
      },
      leave: () => undefined,
    };
    return this.queue.add(peer, job, deadline);
  }

  /** A batch with leases, which are in flight from the call on, or whose messages are waited for one by one. */
  async #sendEach(
    peer: Peer,
    items: readonly (Uint8Array | Lease)[],
    flags: SendFlags | undefined,
    deadline: Deadline | undefined,
  ): Promise<void> {
    const sends = items.map((item) => this.#wait(Kind.Send, peer, item, 0n, flags, deadline));
    const outcomes = await Promise.allSettled(sends);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    if (!spendTurn()) await untilNextTurn();
  }
}
