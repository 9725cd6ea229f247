// The data calls of what sends or receives: an Endpoint, or a context of its own.
import {
  STATUS_AGAIN,
  STATUS_CLOSED,
  check,
  closedError,
  statusError,
  typeError,
  unsupportedError,
} from './errors.js';
import type { Engine } from './engine.js';
import { FI_ENOSYS } from './errno.js';
import type { Info } from './info.js';
import { addon } from './library.js';
import { Memory } from './memory.js';
import type { FabricObject } from './object.js';
import { type SendFlags, postFlags } from './post.js';
import { BATCH_MESSAGES, registers } from './registers.js';
import { RmaEndpoint } from './rma-endpoint.js';

/**
 * The data calls of an Endpoint, and of the contexts that send or receive (fi_msg(3), fi_tagged(3)).
 *
 * They are synchronous and never block: true when the provider accepted the operation, false when it has no room now
 * (-FI_EAGAIN): read the CompletionQueue and try again. `context` is a whole number below the queue's capacity that is not
 * in flight; it comes back with the completion. `memory`, `offset` and `length` name the bytes, which belong to the provider
 * until then.
 */
export abstract class DataEndpoint extends RmaEndpoint {
  /** What it was opened with. */
  readonly info: Info;
  readonly #open: number;
  // The addon's exports are too many for V8 to look one up quickly: the calls of the hot path are kept at hand.
  readonly #send = addon().send;
  readonly #sendBatch = addon().sendBatch;
  readonly #inject = addon().inject;
  readonly #recv = addon().recv;
  readonly #sendTagged = addon().sendTagged;
  readonly #injectTagged = addon().injectTagged;
  readonly #recvTagged = addon().recvTagged;
  readonly #recvBatch = addon().recvBatch;
  readonly #injectBatch = addon().injectBatch;
  readonly #recvThenPoll = addon().recvThenPoll;
  readonly #call = registers().call;
  // Held as long as this is.
  readonly #bound: FabricObject[] = [];
  #dropped: readonly number[] = [];

  /** @internal */
  protected constructor(handle: number, name: string, parents: readonly FabricObject[], info: Info) {
    super(handle, name, parents);
    this.info = info;
    this.#open = handle;
  }

  /** @internal `fi_ep_bind(3)`. */
  protected bindTo(other: FabricObject, flags: bigint): void {
    check(addon().bindEndpoint(this.handle, other.handle, flags), 'fi_ep_bind');
    this.#bound.push(other);
  }

  /**
   * `fi_tx_size_left(3)`: how many more sends have room. Deprecated by libfabric: try, and read the queue where it is full.
   *
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider does not count.
   */
  txSizeLeft(): number {
    return this.#sizeLeft(false, 'fi_tx_size_left');
  }

  /**
   * `fi_rx_size_left(3)`: how many more receives have room. Deprecated by libfabric: try, and read the queue where it is full.
   *
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider does not count.
   */
  rxSizeLeft(): number {
    return this.#sizeLeft(true, 'fi_rx_size_left');
  }

  #sizeLeft(receive: boolean, call: string): number {
    const left = addon().sizeLeft(this.handle, receive);
    if (left === -FI_ENOSYS) throw unsupportedError(`the provider has no ${call}`, call);
    return check(left, call, 'the Endpoint, or it is not enabled: it');
  }

  /** Which groups of calls the provider has: a missing one is refused with ERR_FABRIC_UNSUPPORTED. */
  get calls(): {
    /** Messages (fi_msg(3)). */
    messages: boolean;
    /** Tagged messages (fi_tagged(3)). */
    tagged: boolean;
    /** fi_cancel(3). */
    cancel: boolean;
    /** One-sided reads and writes (fi_rma(3)), where the endpoint was opened with FI_RMA. */
    rma: boolean;
    /** Atomics (fi_atomic(3)), where the endpoint was opened with FI_ATOMIC: atomicLimit() says which. */
    atomic: boolean;
  } {
    const bits = check(addon().endpointCalls(this.handle), 'endpoint');
    return {
      messages: (bits & 1) !== 0,
      tagged: (bits & 2) !== 0,
      cancel: (bits & 4) !== 0,
      rma: (bits & 8) !== 0,
      atomic: (bits & 16) !== 0,
    };
  }

  /** The arguments that most calls share. */
  #arguments(context: number, memory: Memory, offset: number, length: number, peer: number): Float64Array {
    const call = this.#call;
    call[0] = this.#open;
    call[1] = context;
    call[2] = memory.handle;
    call[3] = offset;
    call[4] = length;
    call[5] = peer;
    return call;
  }

  #answer(status: number, call: string, memory?: Memory): boolean {
    if (status === 0) return true;
    if (status === STATUS_AGAIN) return false;
    // Looked at only now: a call that succeeds pays nothing for it.
    if (memory !== undefined && !(memory instanceof Memory)) throw typeError('memory', memory, 'a Memory');
    if (status === STATUS_CLOSED)
      throw closedError('the Endpoint or the Memory, or the Endpoint is not enabled: it');
    throw statusError(status, call);
  }

  /** `fi_send(3)`, `fi_senddata(3)` or `fi_sendmsg(3)`: sends a message. */
  send(
    memory: Memory,
    offset: number,
    length: number,
    peer: number,
    context: number,
    options?: SendFlags,
  ): boolean {
    const call = this.#arguments(context, memory, offset, length, peer);
    call[6] = options === undefined ? 0 : postFlags(options);
    this.#send();
    const status = call[0] | 0;
    return status === 0 || this.#answer(status, 'fi_send', memory);
  }

  /**
   * Messages for sendBatch(), injectBatch() and recvBatch(), four numbers each: context, Memory.id, offset, length. Shared by all
   * endpoints of the thread: fill it just before the call.
   */
  static get batch(): Int32Array {
    return registers().batch;
  }

  /** How many messages one batch holds. */
  static readonly batchLimit = BATCH_MESSAGES;

  #batch(post: () => void, name: string, count: number, peer: number): number {
    const call = this.#call;
    call[0] = this.#open;
    call[1] = count;
    call[2] = peer;
    post();
    const result = call[0] | 0;
    if (result >= 0) return result;
    this.#answer(result, name);
    return 0;
  }

  /**
   * `fi_send(3)` for the first `count` messages of Endpoint.batch, in order, in one crossing.
   *
   * @returns How many the provider took; fewer than `count` where it has no room for more.
   */
  sendBatch(count: number, peer: number): number {
    return this.#batch(this.#sendBatch, 'fi_send', count, peer);
  }

  /** `fi_inject(3)` or `fi_injectdata(3)`: sends up to info.injectSize bytes, reusable at once, without a completion. */
  inject(memory: Memory, offset: number, length: number, peer: number, options?: SendFlags): boolean {
    // Written out here and below, since V8 inlines only so much.
    const call = this.#call;
    call[0] = this.#open;
    call[1] = memory.handle;
    call[2] = offset;
    call[3] = length;
    call[4] = peer;
    call[5] = options === undefined ? 0 : postFlags(options);
    this.#inject();
    const status = call[0] | 0;
    return status === 0 || this.#answer(status, 'fi_inject', memory);
  }

  /**
   * `fi_inject(3)` for the first `count` messages of Endpoint.batch, whose contexts do not matter, in order, in one crossing.
   *
   * @returns How many the provider took; fewer than `count` where it has no room for more.
   */
  injectBatch(count: number, peer: number): number {
    return this.#batch(this.#injectBatch, 'fi_inject', count, peer);
  }

  /** `fi_recv(3)`: posts a buffer for the next message, from `peer` or, by default, from anybody (FI_ADDR_UNSPEC). */
  recv(memory: Memory, offset: number, length: number, context: number, peer = -1): boolean {
    const call = this.#arguments(context, memory, offset, length, peer);
    this.#recv();
    const status = call[0] | 0;
    return status === 0 || this.#answer(status, 'fi_recv', memory);
  }

  /**
   * `fi_recv(3)` for the first `count` buffers of Endpoint.batch, in order, in one crossing; for messages of `peer` or, by
   * default, of anybody (FI_ADDR_UNSPEC).
   *
   * @returns How many the provider took; fewer than `count` where it has no room for more.
   */
  recvBatch(count: number, peer = -1): number {
    return this.#batch(this.#recvBatch, 'fi_recv', count, peer);
  }

  /**
   * `fi_recv(3)` and then, where it was taken, `fi_cq_readfrom(3)` as engine.poll(true) makes it, in one crossing: what
   * was found is in the `completions` of the engine's queue, which must be the one bound for receives.
   */
  recvThenPoll(
    engine: Engine,
    memory: Memory,
    offset: number,
    length: number,
    context: number,
    peer = -1,
  ): boolean {
    const { queue } = engine;
    const call = this.#call;
    call[0] = this.#open;
    call[1] = context;
    call[2] = memory.handle;
    call[3] = offset;
    call[4] = length;
    call[5] = peer;
    call[6] = engine.spinMicroseconds;
    call[7] = queue.completions.count;
    this.#recvThenPoll();
    const status = call[0] | 0;
    if (status !== 0) return this.#answer(status, 'fi_recv', memory);
    queue.found(call[1] | 0);
    return true;
  }

  /** `fi_tsend(3)`, `fi_tsenddata(3)` or `fi_tsendmsg(3)`: sends a tagged message. */
  sendTagged(
    memory: Memory,
    offset: number,
    length: number,
    peer: number,
    tag: bigint,
    context: number,
    options?: SendFlags,
  ): boolean {
    const call = this.#arguments(context, memory, offset, length, peer);
    call[6] = postFlags(options);
    registers().wide[1] = tag;
    this.#sendTagged();
    const status = call[0] | 0;
    return status === 0 || this.#answer(status, 'fi_tsend', memory);
  }

  /** `fi_tinject(3)` or `fi_tinjectdata(3)`: as inject(), with a tag. */
  injectTagged(
    memory: Memory,
    offset: number,
    length: number,
    peer: number,
    tag: bigint,
    options?: SendFlags,
  ): boolean {
    const call = this.#call;
    call[0] = this.#open;
    call[1] = memory.handle;
    call[2] = offset;
    call[3] = length;
    call[4] = peer;
    call[5] = options === undefined ? 0 : postFlags(options);
    registers().wide[1] = tag;
    this.#injectTagged();
    const status = call[0] | 0;
    return status === 0 || this.#answer(status, 'fi_tinject', memory);
  }

  /**
   * `fi_trecv(3)`: posts a buffer for the next message whose tag equals `tag` in all bits that `ignore` has not set.
   *
   * @param ignore - Default 0n: the whole tag must match.
   */
  recvTagged(
    memory: Memory,
    offset: number,
    length: number,
    tag: bigint,
    context: number,
    ignore = 0n,
    peer = -1,
  ): boolean {
    const { wide } = registers();
    wide[1] = tag;
    wide[2] = ignore;
    const call = this.#arguments(context, memory, offset, length, peer);
    this.#recvTagged();
    const status = call[0] | 0;
    return status === 0 || this.#answer(status, 'fi_trecv', memory);
  }

  /**
   * `fi_cancel(3)`: asks for an operation in flight to end with FI_ECANCELED. Its completion still comes, with that or
   * with the success that won the race.
   *
   * @returns Whether the provider took the request; false where nothing with this context is in flight.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider cannot cancel.
   */
  cancel(context: number, kind: 'receive' | 'send' = 'receive'): boolean {
    const call = this.#call;
    call[0] = this.#open;
    call[1] = context;
    call[2] = kind === 'receive' ? 1 : 0;
    addon().cancel();
    const status = call[0] | 0;
    if (status === -38) throw statusError(-10005, 'fi_cancel');
    return status === 0 || (status === -2 ? false : this.#answer(status, 'fi_cancel'));
  }

  /** After close(): contexts of the operations that the provider dropped without a completion, which nobody else tells. */
  get dropped(): readonly number[] {
    return this.#dropped;
  }

  protected override async startClose(handle: number): Promise<number> {
    const answer = addon().closeEndpoint(handle);
    if (!('dropped' in answer)) return answer;
    const status = await answer.closing;
    if (status === 0) this.#dropped = answer.dropped();
    return status;
  }
}
