// Memory through which wide or many arguments reach the addon (struct Registers in native/environment.h): cheaper than
// passing bigints.
import { addon } from './library.js';

interface Registers {
  /** 0: immediate data, 1: tag, 2: ignored bits of a tag. */
  readonly wide: BigUint64Array;
  /** Arguments of a data-plane call, in the order that native/ gives for it; the answer is in [0]. */
  readonly call: Float64Array;
  /** For a batch: context, memory, offset, length of each message. */
  readonly batch: Int32Array;
}

let cached: Registers | undefined;

/** How many messages one batch holds. */
export const BATCH_MESSAGES = 1024;
const WIDE_BYTES = 64;
const CALL_BYTES = 128;

export function registers(): Registers {
  if (cached === undefined) {
    const buffer = addon().registers();
    cached = {
      wide: new BigUint64Array(buffer, 0, WIDE_BYTES / 8),
      call: new Float64Array(buffer, WIDE_BYTES, CALL_BYTES / 8),
      batch: new Int32Array(buffer, WIDE_BYTES + CALL_BYTES, BATCH_MESSAGES * 4),
    };
  }
  return cached;
}
