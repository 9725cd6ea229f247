// Sends: in the order of the calls for each peer, copied at once where there is room, waiting for room otherwise.
import {
  checkBytes,
  checkUint64,
  closedError,
  rangeError,
  typeError,
  unsupportedError,
} from '../fi/errors.js';
import type { SendFlags } from '../fi/index.js';
import { postBatch } from './batch.js';
import type { Core } from './core.js';
import { checkDeadline } from './deadline.js';
import { Kind, type Operation, type Waiter } from './operation.js';
import { Peer, type PeerOwner } from './peer.js';
import { SendQueue } from './send-queue.js';
import { type Chunk, Lease, copyInto } from './slab.js';
import { spendTurn, untilNextTurn } from './turn.js';
import type { Limits, SendOptions } from './types.js';

/** Resolved already: the answer of most sends, which are copied. */
const RESOLVED = Promise.resolve();
const LARGEST_INJECTED = 4096;

export class Sender {
  readonly #core: Core;
  readonly #owner: PeerOwner;
  readonly #limits: Limits;
  readonly queue: SendQueue;
  /** The largest message that is injected; -1: none, its message might be lost at close. */
  readonly #injectSize: number;
  #scratch: Chunk | undefined;

  constructor(core: Core, owner: PeerOwner, limits: Limits, sendTimeoutMs: number) {
    this.#core = core;
    this.#owner = owner;
    this.#limits = limits;
    this.queue = new SendQueue(core, sendTimeoutMs, (peer, { kind, data, tag, flags, waiter }) =>
      this.#post(kind, peer, data, tag, flags, waiter),
    );
    this.#injectSize = core.opened.provider.injectsAtOnce
      ? Math.min(limits.injectSize, LARGEST_INJECTED)
      : -1;
  }

  #checkPeer(peer: unknown): asserts peer is Peer {
    if (peer instanceof Peer && peer.owner === this.#owner && !peer.closed) return;
    if (!(peer instanceof Peer))
      throw typeError('peer', peer, 'a Peer', 'Make one with endpoint.peer(contact)');
    if (peer.owner !== this.#owner)
      throw typeError('peer', peer, 'a Peer of this endpoint', 'Make one with this endpoint.peer(contact)');
    if (peer.closed) throw closedError(`the peer ${peer.contact}`);
  }

  #checkData(data: unknown): number {
    if (data instanceof Lease) {
      if (!data.isOf(this.#core.memory))
        throw data.disposed ? closedError('the Lease') : typeError('data', data, 'a Lease of this endpoint');
      return data.length;
    }
    const byteLength = checkBytes('data', data).length;
    if (byteLength > this.#limits.maxMessageSize)
      throw rangeError(
        'data.length',
        byteLength,
        `at most ${String(this.#limits.maxMessageSize)} bytes, what the provider takes`,
      );
    return byteLength;
  }

  /** What libfabric must be told of the options; undefined where nothing. */
  #flags(options: SendOptions): SendFlags | undefined {
    const { immediate, completion } = options;
    if (immediate !== undefined) {
      const { immediateSize } = this.#limits;
      if (immediateSize === 0) throw unsupportedError('this provider has no immediate data');
      checkUint64('options.immediate', immediate, (1n << BigInt(8 * Math.min(immediateSize, 8))) - 1n);
    }
    const { provider } = this.#core.opened;
    switch (completion) {
      case undefined:
      case 'buffer':
        return immediate === undefined ? undefined : { immediate };
      case 'transmit':
        if (!provider.transmit)
          throw unsupportedError(`${provider.name} cannot tell when a message was transmitted`);
        return { immediate, completion };
      case 'delivery':
        if (!provider.delivery)
          throw unsupportedError(`${provider.name} cannot tell when a message has arrived`);
        return { immediate, completion };
      default:
        throw rangeError('options.completion', completion, "'buffer', 'transmit' or 'delivery'");
    }
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
        data.length <= this.#injectSize &&
        peer instanceof Peer &&
        peer.owner === this.#owner &&
        !peer.closed &&
        peer.waiting.length === 0
      ) {
        if (this.#inject(kind, peer, checkBytes('data', data), tag))
          return spendTurn() ? RESOLVED : untilNextTurn();
      }
      this.#checkPeer(peer);
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
      return this.queue.send(peer, kind, data, tag, flags, options);
    } catch (error) {
      return Promise.reject(error);
    }
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
    this.#checkPeer(peer);
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
    this.#checkPeer(peer);
    const all = [...items];
    for (const item of all) this.#checkData(item);
    const flags = options === undefined ? undefined : this.#flags(options);
    if (options !== undefined) checkDeadline(options);
    let sent = 0;
    if (flags === undefined && peer.waiting.length === 0) {
      while (sent < all.length) {
        const step = postBatch(this.#core, peer, all, sent);
        if (step === 0) break;
        sent += step;
      }
    }
    if (sent === all.length) {
      if (!spendTurn()) await untilNextTurn();
      return;
    }
    const rest = all.slice(sent).map((item) => this.queue.send(peer, Kind.Send, item, 0n, flags, options));
    const outcomes = await Promise.allSettled(rest);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }
}
