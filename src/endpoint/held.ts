// Messages: as they lie in a receive buffer, and as the program gets them.
import type { Peer } from './peer.js';
import type { Chunk } from './slab.js';
import type { Message } from './types.js';

/** A message as it is handed to the program. */
export class ArrivedMessage implements Message {
  length: number;
  data: Uint8Array;
  declare from?: Peer;
  declare tag?: bigint;
  declare immediate?: bigint;
  declare truncated?: true;

  constructor(length: number, data: Uint8Array) {
    this.length = length;
    this.data = data;
  }

  /** Nothing to do for a message that owns its data; borrowed ones override it. */
  [Symbol.dispose](): void {
    // owned by the garbage collector
  }
}

/** A message that still lies in its receive buffer. */
export class Held {
  readonly chunk: Chunk;
  /** Bytes of the message. */
  readonly length: number;
  /** How many of them fitted. */
  readonly kept: number;
  /** Whether the buffer is one of the pool's. */
  readonly pooled: boolean;
  /** Its data, where it had to leave the buffer. */
  moved: Uint8Array | undefined = undefined;
  from: Peer | undefined = undefined;
  tag: bigint | undefined = undefined;
  immediate: bigint | undefined = undefined;

  constructor(chunk: Chunk, length: number, kept: number, pooled: boolean) {
    this.chunk = chunk;
    this.length = length;
    this.kept = kept;
    this.pooled = pooled;
  }

  /** The data, where it lies. */
  get bytes(): Uint8Array {
    return this.moved ?? this.chunk.first(this.kept);
  }

  /** Writes to a message for the program what is known of this one. */
  describe(message: ArrivedMessage): void {
    const { from, tag, immediate } = this;
    if (from !== undefined) message.from = from;
    if (tag !== undefined) message.tag = tag;
    if (immediate !== undefined) message.immediate = immediate;
    if (this.length > message.data.length) message.truncated = true;
  }

  /** The message, with the data given. */
  message(data: Uint8Array): ArrivedMessage {
    const message = new ArrivedMessage(this.length, data);
    this.describe(message);
    return message;
  }
}
