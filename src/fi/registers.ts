// Memory through which wide or many arguments reach the addon (struct Registers in native/environment.h): cheaper than
// passing bigints.
import { addon } from './library.js';

interface Registers {
  /**
   * 0: immediate data, 1: tag, 2: ignored bits of a tag, 3 and 4: address and key of memory of another process, 5: flags of
   * the operation.
   */
  readonly wide: BigUint64Array;
  /** Arguments of a data-plane call, in the order that native/ gives for it; the answer is in [0]. */
  readonly call: Float64Array;
  /** For a batch: context, memory, offset, length of each message. */
  readonly batch: Int32Array;
  /** Of an operation on several pieces of memory: memory, offset, length of each. */
  readonly parts: Float64Array;
  /** Of an operation on several pieces of another process's memory: address, length, key of each. */
  readonly remoteParts: BigUint64Array;
}

let cached: Registers | undefined;

/** How many messages one batch holds. */
export const BATCH_MESSAGES = 1024;
const WIDE_BYTES = 64;
const CALL_BYTES = 128;
const BATCH_BYTES = BATCH_MESSAGES * 16;
/** How many pieces of memory one operation can name: what is sent, compared and fetched together. */
export const MAX_PARTS = 96;
/** How many pieces of another process's memory. */
export const MAX_REMOTE_PARTS = 32;

export function registers(): Registers {
  if (cached === undefined) {
    const buffer = addon().registers();
    cached = {
      wide: new BigUint64Array(buffer, 0, WIDE_BYTES / 8),
      call: new Float64Array(buffer, WIDE_BYTES, CALL_BYTES / 8),
      batch: new Int32Array(buffer, WIDE_BYTES + CALL_BYTES, BATCH_MESSAGES * 4),
      parts: new Float64Array(buffer, WIDE_BYTES + CALL_BYTES + BATCH_BYTES, MAX_PARTS * 3),
      remoteParts: new BigUint64Array(
        buffer,
        WIDE_BYTES + CALL_BYTES + BATCH_BYTES + MAX_PARTS * 24,
        MAX_REMOTE_PARTS * 3,
      ),
    };
  }
  return cached;
}
