// The only reader of the completion ring's layout, which native/completion_ring.h writes: records of 64 bytes.
import { FI_MULTI_RECV, FI_RECV, FI_REMOTE_CQ_DATA, FI_TAGGED } from './constants.js';

const WORDS = 16;
const CONTEXT = 0;
const FLAGS = 1;
const ERROR = 2;
const PROVIDER_ERROR = 3;
const LENGTH_LOW = 4;
const LENGTH_HIGH = 5;
const SOURCE = 6;
const TEXT = 7;
// In 64-bit words.
const DATA = 4;
const TAG = 5;
const OVERFLOW = 6;
const PLACE = 7;

const RECEIVE_BIT = Number(FI_RECV);
const TAGGED_BIT = Number(FI_TAGGED);
const IMMEDIATE_BIT = Number(FI_REMOTE_CQ_DATA);
const RELEASED_BIT = Number(FI_MULTI_RECV);

/**
 * The completions that the last read of a CompletionQueue found (struct fi_cq_tagged_entry and fi_cq_err_entry).
 * The object is reused: what it says is valid until the next read.
 */
export class Completions {
  readonly #words: Int32Array;
  readonly #wide: BigUint64Array;
  readonly #mask: number;
  #first = 0;
  #count = 0;

  /** @internal */
  constructor(buffer: ArrayBuffer) {
    this.#words = new Int32Array(buffer);
    this.#wide = new BigUint64Array(buffer);
    this.#mask = this.#words.length / WORDS - 1;
  }

  /** How many there are. */
  get count(): number {
    return this.#count;
  }

  /** @internal Moves on: forgets the current records and shows the next `count`. */
  advance(count: number): void {
    this.#first = (this.#first + this.#count) & this.#mask;
    this.#count = count;
  }

  /** @internal Shows fewer of the records than there are; the others come with the next read. */
  limit(count: number): void {
    if (count < this.#count) this.#count = count;
  }

  #at(index: number, word: number): number {
    return this.#words[((this.#first + index) & this.#mask) * WORDS + word];
  }

  /**
   * @internal Bytes received, where the newest completion is a good one of the context given; else -1. One function, and
   * one for each of the next two, because V8 would not inline all that they would call.
   */
  lengthOfNewest(context: number): number {
    const at = ((this.#first + this.#count - 1) & this.#mask) * WORDS;
    const words = this.#words;
    return this.#count !== 0 &&
      words[at] === context &&
      words[at + ERROR] === 0 &&
      words[at + LENGTH_HIGH] === 0
      ? words[at + LENGTH_LOW]
      : -1;
  }

  /** @internal source() of the newest. */
  sourceOfNewest(): number {
    return this.#words[((this.#first + this.#count - 1) & this.#mask) * WORDS + SOURCE];
  }

  /** @internal hasImmediate() of the newest. */
  newestHasImmediate(): boolean {
    return (
      (this.#words[((this.#first + this.#count - 1) & this.#mask) * WORDS + FLAGS] & IMMEDIATE_BIT) !== 0
    );
  }

  /** The operation's context; -1 for a failure that belongs to none, such as that of an injected message. */
  context(index: number): number {
    return this.#at(index, CONTEXT);
  }

  /** The completion's flags, of which all that are used fit 32 bits: FI_SEND, FI_RECV, FI_TAGGED, FI_REMOTE_CQ_DATA, … */
  flags(index: number): number {
    return this.#at(index, FLAGS);
  }

  /** Whether this completes a receive. */
  isReceive(index: number): boolean {
    return (this.#at(index, FLAGS) & RECEIVE_BIT) !== 0;
  }

  /** Whether this completes a tagged operation. */
  isTagged(index: number): boolean {
    return (this.#at(index, FLAGS) & TAGGED_BIT) !== 0;
  }

  /** Whether the sender added remote CQ data. */
  hasImmediate(index: number): boolean {
    return (this.#at(index, FLAGS) & IMMEDIATE_BIT) !== 0;
  }

  /**
   * Whether a buffer for several messages is the program's again (FI_MULTI_RECV): the provider will put no more into it.
   * Some providers say so with the last message, some with a completion of its own, which is no receive.
   */
  isReleased(index: number): boolean {
    return (this.#at(index, FLAGS) & RELEASED_BIT) !== 0;
  }

  /** 0, or the positive fi_errno of a failed operation. */
  error(index: number): number {
    return this.#at(index, ERROR);
  }

  /** The provider's own error number. */
  providerError(index: number): number {
    return this.#at(index, PROVIDER_ERROR);
  }

  /** Bytes received; the bytes of the operation for a send, where the provider tells. */
  length(index: number): number {
    const high = this.#at(index, LENGTH_HIGH);
    const low = this.#at(index, LENGTH_LOW);
    // Small integers stay small integers: V8 computes with them several times quicker.
    return high === 0 && low >= 0 ? low : high * 2 ** 32 + (low >>> 0);
  }

  /**
   * The sender's address, as AddressVector.insert() gave it, whatever its fi_addr_t; -1 where the provider tells none
   * (FI_ADDR_NOTAVAIL), or the endpoint's AddressVector has no such address.
   */
  source(index: number): number {
    return this.#at(index, SOURCE);
  }

  /** @internal Number of the provider's words for an error. */
  text(index: number): number {
    return this.#at(index, TEXT);
  }

  #wideAt(index: number, word: number): bigint {
    return this.#wide[((this.#first + index) & this.#mask) * (WORDS / 2) + word];
  }

  /** Remote CQ data, where hasImmediate(). */
  immediate(index: number): bigint {
    return this.#wideAt(index, DATA);
  }

  /** The tag of a tagged message. */
  tag(index: number): bigint {
    return this.#wideAt(index, TAG);
  }

  /** Bytes of the message that did not fit the buffer (fi_cq_err_entry.olen). */
  overflow(index: number): number {
    return Number(this.#wideAt(index, OVERFLOW));
  }

  /** Where a message in a buffer for several messages begins: bytes from the start of the Memory (fi_cq_data_entry.buf). */
  place(index: number): number {
    return Number(this.#wideAt(index, PLACE));
  }
}
