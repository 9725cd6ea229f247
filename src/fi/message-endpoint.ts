// fi_msg(3) and fi_tagged(3): messages of several parts, and the calls with flags.
import { ConnectionEndpoint } from './connection-endpoint.js';
import { FI_CLAIM, FI_COMPLETION, FI_DISCARD, FI_MORE, FI_MULTI_RECV, FI_PEEK } from './constants.js';
import { checkUint64, rangeError } from './errors.js';
import { addon } from './library.js';
import type { Flags } from './names.js';
import { refusalOf } from './one-sided.js';
import { type Part, putParts } from './parts.js';
import { type MessageOptions, type Trigger, checkFlags, putOptions, putTrigger } from './post.js';
import { registers } from './registers.js';

// Which call, as native/message_vector.cc numbers them.
const RECEIVES = 1;
const TAGGED = 2;
const HAS_FLAGS = 4;

const RECEIVE_FLAGS = FI_COMPLETION | FI_MORE | FI_MULTI_RECV;
const TAGGED_RECEIVE_FLAGS = FI_COMPLETION | FI_MORE | FI_PEEK | FI_CLAIM | FI_DISCARD;
const NO_PARTS = { least: 0, most: 0 };
const ONE_PART = { least: 1, most: 1 };

/**
 * The calls of an Endpoint for messages of several parts, and those with flags. As all data calls they never block: false
 * where the provider has no room now. A message's parts are sent and filled in their order; each of them belongs to the
 * provider until the completion. info.transmit.iovLimit and info.receive.iovLimit say how many parts there can be.
 *
 * On an endpoint whose CompletionQueue is bound with FI_SELECTIVE_COMPLETION, an operation without the flag FI_COMPLETION
 * (and each of the calls without flags, unless the endpoint's own have it) completes only where it fails. Its context and its
 * memory stay in use until the program, which knows from a Counter or from an answer that it is done, calls retire().
 */
export abstract class MessageEndpoint extends ConnectionEndpoint {
  // The addon's exports are too many for V8 to look one up quickly.
  readonly #messageVector = addon().messageVector;

  #post(call: number, name: string, count: number, peer: number, context: number): boolean {
    const registersCall = registers().call;
    registersCall[0] = this.handle;
    registersCall[1] = context;
    registersCall[2] = call;
    registersCall[3] = count;
    registersCall[4] = peer;
    this.#messageVector();
    const capability = (call & TAGGED) === 0 ? 'FI_MSG' : 'FI_TAGGED';
    return refusalOf(registersCall[0] | 0, name, capability);
  }

  /**
   * `fi_sendv(3)`: sends the parts as one message.
   *
   * @throws RangeError for more parts than info.transmit.iovLimit.
   * @throws FabricError as send().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_msg.3.html
   */
  sendVector(parts: readonly Part[], peer: number, context: number): boolean {
    putParts('parts', parts, { least: 1, most: this.info.transmit.iovLimit });
    return this.#post(0, 'fi_sendv', parts.length, peer, context);
  }

  /**
   * `fi_recvv(3)`: posts the parts for the next message, from `peer` or, by default, from anybody (FI_ADDR_UNSPEC).
   *
   * @throws RangeError for more parts than info.receive.iovLimit.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_msg.3.html
   */
  recvVector(parts: readonly Part[], context: number, peer = -1): boolean {
    putParts('parts', parts, { least: 1, most: this.info.receive.iovLimit });
    return this.#post(RECEIVES, 'fi_recvv', parts.length, peer, context);
  }

  /**
   * `fi_sendmsg(3)`: as sendVector(), with flags and remote CQ data.
   *
   * @throws RangeError for flags that are none of this call.
   * @throws FabricError FI_EMSGSIZE for more than info.injectSize bytes with FI_INJECT.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_msg.3.html
   */
  sendMessage(parts: readonly Part[], peer: number, context: number, options?: MessageOptions): boolean {
    putParts('parts', parts, { least: 1, most: this.info.transmit.iovLimit });
    putOptions(this, options);
    return this.#post(HAS_FLAGS, 'fi_sendmsg', parts.length, peer, context);
  }

  /**
   * `fi_recvmsg(3)`: as recvVector(), with flags.
   *
   * With FI_MULTI_RECV, for endpoints opened with that capability, the one part takes messages until it has less than
   * FI_OPT_MIN_MULTI_RECV bytes left (setOpt()). Each message's completion has the same context, and `completions.place()` says where it
   * begins; the context is free, and the memory the program's, with the completion for which `completions.isReleased()`.
   * Set that option to the longest message before posting: what is longer than the rest of the buffer is a message
   * that is too long, which several providers do not survive (docs/providers.md).
   *
   * @param flags - FI_MULTI_RECV, FI_MORE, FI_COMPLETION; default none.
   * @param trigger - Has it wait for a counter (FI_TRIGGER); default: posted at once.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_msg.3.html
   */
  recvMessage(parts: readonly Part[], context: number, flags?: Flags, peer = -1, trigger?: Trigger): boolean {
    const bits = checkFlags(flags, RECEIVE_FLAGS, 'flags');
    const many = (bits & FI_MULTI_RECV) !== 0n;
    putParts('parts', parts, many ? ONE_PART : { least: 1, most: this.info.receive.iovLimit });
    registers().wide[5] = bits | putTrigger(this, trigger, 'trigger');
    return this.#post(RECEIVES | HAS_FLAGS, 'fi_recvmsg', parts.length, peer, context);
  }

  /**
   * `fi_tsendv(3)`: as sendVector(), with a tag.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_tagged.3.html
   */
  sendVectorTagged(parts: readonly Part[], peer: number, tag: bigint, context: number): boolean {
    putParts('parts', parts, { least: 1, most: this.info.transmit.iovLimit });
    registers().wide[1] = checkUint64('tag', tag);
    return this.#post(TAGGED, 'fi_tsendv', parts.length, peer, context);
  }

  /**
   * `fi_trecvv(3)`: as recvVector(), for a message whose tag equals `tag` in all bits that `ignore` has not set.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_tagged.3.html
   */
  recvVectorTagged(parts: readonly Part[], tag: bigint, context: number, ignore = 0n, peer = -1): boolean {
    putParts('parts', parts, { least: 1, most: this.info.receive.iovLimit });
    const { wide } = registers();
    wide[1] = checkUint64('tag', tag);
    wide[2] = checkUint64('ignore', ignore);
    return this.#post(TAGGED | RECEIVES, 'fi_trecvv', parts.length, peer, context);
  }

  /**
   * `fi_tsendmsg(3)`: as sendMessage(), with a tag.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_tagged.3.html
   */
  sendMessageTagged(
    parts: readonly Part[],
    peer: number,
    tag: bigint,
    context: number,
    options?: MessageOptions,
  ): boolean {
    putParts('parts', parts, { least: 1, most: this.info.transmit.iovLimit });
    putOptions(this, options);
    registers().wide[1] = checkUint64('tag', tag);
    return this.#post(TAGGED | HAS_FLAGS, 'fi_tsendmsg', parts.length, peer, context);
  }

  /**
   * `fi_trecvmsg(3)`: as recvVectorTagged(), with flags.
   *
   * - FI_PEEK, without parts: looks whether such a message has arrived. The completion tells its length and tag; where there
   *   is none it fails with FI_ENOMSG. The message stays where it is.
   * - FI_PEEK and FI_CLAIM: keeps the message for a call with FI_CLAIM, the parts to receive it into, and the same context,
   *   which is in use until then.
   * - FI_DISCARD with either of them, without parts: throws the message away.
   *
   * Not every provider has these, and one that has not may take the call for a receive: docs/providers.md.
   *
   * @param flags - FI_PEEK, FI_CLAIM, FI_DISCARD, FI_MORE, FI_COMPLETION; default none.
   * @param trigger - Has it wait for a counter (FI_TRIGGER); default: posted at once.
   * @throws FabricError FI_EINVAL for FI_CLAIM with a context that has not claimed.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_tagged.3.html
   */
  recvMessageTagged(
    parts: readonly Part[],
    tag: bigint,
    context: number,
    flags?: Flags,
    ignore = 0n,
    peer = -1,
    trigger?: Trigger,
  ): boolean {
    const bits = checkFlags(flags, TAGGED_RECEIVE_FLAGS, 'flags');
    const discards = (bits & FI_DISCARD) !== 0n;
    if (discards && (bits & (FI_PEEK | FI_CLAIM)) === 0n)
      throw rangeError('flags', 'FI_DISCARD', 'FI_DISCARD with FI_PEEK, or with FI_CLAIM');
    if (trigger !== undefined && (bits & (FI_PEEK | FI_CLAIM)) !== 0n)
      throw rangeError(
        'flags',
        flags,
        'without FI_PEEK and FI_CLAIM',
        'A receive with a trigger only posts a buffer',
      );
    const waits = putTrigger(this, trigger, 'trigger');
    const brings = !discards && (bits & FI_PEEK) === 0n;
    putParts('parts', parts, brings ? { least: 1, most: this.info.receive.iovLimit } : NO_PARTS);
    const { wide } = registers();
    wide[1] = checkUint64('tag', tag);
    wide[2] = checkUint64('ignore', ignore);
    // A message that is discarded cannot be received afterwards.
    wide[5] = (discards && (bits & FI_PEEK) !== 0n ? bits & ~FI_CLAIM : bits) | waits;
    return this.#post(TAGGED | RECEIVES | HAS_FLAGS, 'fi_trecvmsg', parts.length, peer, context);
  }

  /**
   * Ends an operation that completes only where it fails (FI_SELECTIVE_COMPLETION): its context is free again, and its memory
   * the program's. No C call: C leaves it to the program to know when that is so. Call it once a Counter has counted the
   * operation, or the peer has answered; earlier, the provider may still use the memory.
   *
   * @returns False while the queue is being read by the engine: try again.
   * @throws FabricError ERR_FABRIC_BUSY where no such operation has this context.
   */
  retire(context: number, kind: 'receive' | 'send' = 'send'): boolean {
    const { call } = registers();
    call[0] = this.handle;
    call[1] = context;
    call[2] = kind === 'receive' ? 1 : 0;
    addon().retire();
    return refusalOf(call[0] | 0, 'retire', 'FI_SELECTIVE_COMPLETION');
  }
}
