// Sends: in the order of the calls for each peer, copied at once where there is room, waiting for room otherwise.
import {
  checkBytes,
  checkUint64,
  closedError,
  deadlineError,
  rangeError,
  typeError,
  unsupportedError,
} from '../fi/errors.js';
import type { SendFlags } from '../fi/index.js';
import { postBatch } from './batch.js';
import type { Core } from './core.js';
import { checkDeadline, hasDeadline, watchDeadline, withReleased } from './deadline.js';
import { Kind, type Operation, type Waiter } from './operation.js';
import { Peer, type PeerOwner } from './peer.js';
import { type Chunk, Lease, copyBytes } from './slab.js';
import { nextTurn, spendTurn } from './turn.js';
import type { Limits, SendOptions } from './types.js';

/** A send that has not been given to the provider yet. */
export interface WaitingSend {
  kind: Kind;
  data: Uint8Array | Lease;
  tag: bigint;
  flags: SendFlags | undefined;
  waiter: Waiter<void>;
  /** When it is given up, in ms of performance.now(). */
  giveUpAt: number;
  settled: boolean;
  operation: Operation | undefined;
}

/** Resolved already: the answer of most sends, which are copied. */
const RESOLVED = Promise.resolve();
const LARGEST_INJECTED = 4096;
const FAST_TURNS = 64;
const SLOWEST_RETRY_MS = 16;

export class Sender {
  readonly #core: Core;
  readonly #owner: PeerOwner;
  readonly #limits: Limits;
  readonly #sendTimeoutMs: number;
  readonly #peersWaiting = new Set<Peer>();
  #waiting = 0;
  #retries = 0;
  #retryScheduled = false;
  #drained: (() => void) | undefined;
  /** The largest message that is injected; -1: none, its message might be lost at close. */
  readonly #injectSize: number;
  #scratch: Chunk | undefined;

  constructor(core: Core, owner: PeerOwner, limits: Limits, sendTimeoutMs: number) {
    this.#core = core;
    this.#owner = owner;
    this.#limits = limits;
    this.#sendTimeoutMs = sendTimeoutMs;
    this.#injectSize = core.opened.provider.injectsAtOnce
      ? Math.min(limits.injectSize, LARGEST_INJECTED)
      : -1;
  }

  get waiting(): number {
    return this.#waiting;
  }

  #checkPeer(peer: unknown): asserts peer is Peer {
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
    const { byteLength } = checkBytes('data', data);
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
    if (
      lease === undefined &&
      core.bytesInFlight !== 0 &&
      core.bytesInFlight + length > this.#limits.maxBytesInFlight
    )
      return undefined;
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
      if (lease === undefined) chunk.bytes.set(data as Uint8Array);
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
        if (posted)
          return spendTurn()
            ? RESOLVED
            : new Promise((resolve) => {
                nextTurn(resolve);
              });
      }
      return this.#sendSlowly(kind, peer, tag, data, flags, options ?? {});
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
    copyBytes(data, length, chunk.bytes);
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

  #sendSlowly(
    kind: Kind,
    peer: Peer,
    tag: bigint,
    data: Uint8Array | Lease,
    flags: SendFlags | undefined,
    options: SendOptions,
  ): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const entry = this.#enqueue(kind, peer, tag, data, flags, { resolve, reject });
      if (hasDeadline(options)) {
        const stop = watchDeadline(options, kind === Kind.Send ? 'send' : 'sendTagged', (reason) => {
          this.#expire(peer, entry, reason);
        });
        const { waiter } = entry;
        entry.waiter = {
          resolve: () => {
            stop();
            waiter.resolve();
          },
          reject: (reason) => {
            stop();
            waiter.reject(reason);
          },
        };
        if (entry.operation?.send !== undefined) entry.operation.send = entry.waiter;
        if (entry.settled && entry.operation?.send === undefined) stop();
      }
    });
  }

  #enqueue(
    kind: Kind,
    peer: Peer,
    tag: bigint,
    data: Uint8Array | Lease,
    flags: SendFlags | undefined,
    waiter: Waiter<void>,
  ): WaitingSend {
    const core = this.#core;
    core.beginWait();
    let settled = false;
    const once = (finish: () => void): void => {
      if (settled) return;
      settled = true;
      core.endWait();
      finish();
    };
    const entry: WaitingSend = {
      kind,
      data,
      tag,
      flags,
      waiter: {
        resolve: () => {
          once(() => {
            waiter.resolve();
          });
        },
        reject: (reason) => {
          once(() => {
            waiter.reject(reason);
          });
        },
      },
      giveUpAt: performance.now() + this.#sendTimeoutMs,
      settled: false,
      operation: undefined,
    };
    peer.waiting.push(entry);
    this.#waiting += 1;
    this.#peersWaiting.add(peer);
    this.#pushPeer(peer);
    if (entry.operation === undefined && !entry.settled) {
      core.poll(false);
      this.#pushPeer(peer);
    }
    this.#scheduleRetry();
    return entry;
  }

  /** Gives as many of a peer's waiting sends to the provider as it takes, in order. */
  #pushPeer(peer: Peer): void {
    const { waiting } = peer;
    while (waiting.length !== 0) {
      const entry = waiting[0];
      let posted: Operation | undefined;
      try {
        if (!(entry.data instanceof Lease)) checkBytes('data', entry.data);
        posted = this.#post(entry.kind, peer, entry.data, entry.tag, entry.flags, entry.waiter);
      } catch (error) {
        this.#dequeue(peer, entry);
        entry.waiter.reject(error);
        continue;
      }
      if (posted === undefined) return;
      this.#dequeue(peer, entry);
      this.#retries = 0;
      if (posted.send === undefined) entry.waiter.resolve();
      else entry.operation = posted;
    }
    this.#peersWaiting.delete(peer);
  }

  #dequeue(peer: Peer, entry: WaitingSend): void {
    const index = peer.waiting.indexOf(entry);
    if (index < 0) return;
    peer.waiting.splice(index, 1);
    entry.settled = true;
    this.#waiting -= 1;
    if (peer.waiting.length === 0) this.#peersWaiting.delete(peer);
    if (this.#waiting === 0) this.#drained?.();
  }

  /** Completions came, or memory did: there may be room. */
  roomMayBeThere(): void {
    if (this.#waiting === 0) {
      this.#drained?.();
      return;
    }
    for (const peer of [...this.#peersWaiting]) this.#pushPeer(peer);
  }

  // Room may come without a completion of ours (the peer makes progress): look again, at once at first, later rarely,
  // and never for ever.
  #scheduleRetry(): void {
    if (this.#retryScheduled || this.#waiting === 0) return;
    this.#retryScheduled = true;
    this.#retries += 1;
    const run = (): void => {
      this.#retryScheduled = false;
      this.#core.poll(false);
      this.roomMayBeThere();
      this.#giveUp();
      this.#scheduleRetry();
    };
    if (this.#retries <= FAST_TURNS) setImmediate(run);
    else setTimeout(run, Math.min(SLOWEST_RETRY_MS, 2 ** Math.floor((this.#retries - FAST_TURNS) / 16)));
  }

  #giveUp(): void {
    const now = performance.now();
    for (const peer of [...this.#peersWaiting]) {
      while (peer.waiting.length !== 0 && peer.waiting[0].giveUpAt <= now) {
        const entry = peer.waiting[0];
        this.#dequeue(peer, entry);
        const message =
          `no room to send to ${peer.contact} for ${String(this.#sendTimeoutMs)} ms: the peer does not read, or is ` +
          'gone; peer.close() settles what waits, sendTimeoutMs of open() sets the time';
        entry.waiter.reject(withReleased(deadlineError(message), Promise.resolve()));
      }
    }
  }

  /** The deadline of a send passed, or its signal was aborted. */
  #expire(peer: Peer, entry: WaitingSend, reason: unknown): void {
    const { operation } = entry;
    if (operation === undefined) {
      this.#dequeue(peer, entry);
      entry.waiter.reject(withReleased(reason, Promise.resolve()));
      return;
    }
    this.#detach(operation, reason);
  }

  /** Rejects who waits for an operation in flight; the provider keeps its memory until it completes. */
  #detach(operation: Operation, reason: unknown): void {
    const { send } = operation;
    if (send === undefined) return;
    operation.send = undefined;
    const released = new Promise<void>((resolve) => {
      operation.released = resolve;
    });
    send.reject(withReleased(reason, released));
  }

  /** Rejects every send to a peer. */
  closePeer(peer: Peer, reason: Error): void {
    for (const entry of [...peer.waiting]) {
      this.#dequeue(peer, entry);
      entry.waiter.reject(withReleased(reason, Promise.resolve()));
    }
    for (const operation of this.#core.operations.inFlight()) {
      if (operation.peer !== peer || operation.kind >= Kind.Receive) continue;
      if (operation.send !== undefined) this.#detach(operation, reason);
      // Nobody waits, and nobody wants to hear of it: the peer was given up.
      else operation.released ??= () => undefined;
    }
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
        const step = postBatch(this.#core, this.#limits, peer, all, sent);
        if (step === 0) break;
        sent += step;
      }
    }
    if (sent === all.length) {
      if (!spendTurn())
        await new Promise<void>((resolve) => {
          nextTurn(resolve);
        });
      return;
    }
    const rest = all
      .slice(sent)
      .map((item) => this.#sendSlowly(Kind.Send, peer, 0n, item, flags, options ?? {}));
    const outcomes = await Promise.allSettled(rest);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  /** Resolves when nothing waits and nothing is in flight. */
  drain(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#waiting !== 0 || this.#core.operations.sendsInFlight !== 0) return;
        this.#drained = undefined;
        resolve();
      };
      this.#drained = look;
      look();
    });
  }

  /** At the end: rejects whatever is left. */
  rejectAll(reason: Error): void {
    for (const peer of [...this.#peersWaiting]) {
      for (const entry of [...peer.waiting]) {
        this.#dequeue(peer, entry);
        entry.waiter.reject(withReleased(reason, Promise.resolve()));
      }
    }
    for (const operation of this.#core.operations.inFlight())
      if (operation.kind < Kind.Receive && operation.send !== undefined) this.#detach(operation, reason);
  }
}
