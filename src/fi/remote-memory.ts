// What names memory of another process, for fi_rma(3) and fi_atomic(3).
import { checkBytes, checkInteger, checkUint64, rangeError, typeError } from './errors.js';

/** RemoteMemory as JSON: bigints as decimal text. */
export interface RemoteMemoryJson {
  /** Decimal. */
  key: string;
  /** Decimal. */
  address: string;
  /** Bytes. */
  length: number;
  /** There where peers may not read it. */
  readable?: false;
  /** There where peers may not write it. */
  writable?: false;
}

/** What peers may do to the memory; what is left out, they may. */
export interface RemoteAccess {
  /** Read it, and fetch from it. */
  readable?: boolean;
  /** Write it, and change it by atomics. */
  writable?: boolean;
}

// toBytes(): format, flags, six bytes of zero; then key, address and length, the most significant byte first.
const FORMAT = 1;
const BYTES = 32;
const READABLE = 1;
const WRITABLE = 2;
const NOT_ONE = "what a RemoteMemory's toJSON() or toBytes() gave";

/**
 * Memory of another process that this one may read or write: a key, where it starts, and its length in bytes. It means
 * the same whatever the provider: the side that registered the memory knows whether its provider counts from the memory's
 * virtual address (FI_MR_VIRT_ADDR) or from 0 (MemoryRegion.remote).
 *
 * To hand it to a peer, in a message or by any other means: `JSON.stringify(remote)`, or `remote.toBytes()`; the peer reads
 * either with `RemoteMemory.from()`.
 */
export class RemoteMemory {
  /** What the other side names the memory by (fi_mr_key). */
  readonly key: bigint;
  /** Where it starts: a virtual address, or 0, as the provider wants it. */
  readonly address: bigint;
  /** Its bytes. */
  readonly length: number;
  /** Whether it was registered for peers to read (FI_REMOTE_READ). */
  readonly readable: boolean;
  /** Whether it was registered for peers to write (FI_REMOTE_WRITE). */
  readonly writable: boolean;

  constructor(key: bigint, address: bigint, length: number, access: RemoteAccess = {}) {
    this.key = checkUint64('key', key);
    this.address = checkUint64('address', address);
    this.length = checkInteger('length', length, 0, Number.MAX_SAFE_INTEGER);
    this.readable = access.readable ?? true;
    this.writable = access.writable ?? true;
  }

  /** For JSON.stringify(). */
  toJSON(): RemoteMemoryJson {
    return {
      key: String(this.key),
      address: String(this.address),
      length: this.length,
      ...(this.readable ? {} : { readable: false }),
      ...(this.writable ? {} : { writable: false }),
    };
  }

  /** 32 bytes that say the same as toJSON(). */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint8(0, FORMAT);
    view.setUint8(1, (this.readable ? READABLE : 0) | (this.writable ? WRITABLE : 0));
    view.setBigUint64(8, this.key);
    view.setBigUint64(16, this.address);
    view.setBigUint64(24, BigInt(this.length));
    return bytes;
  }

  /**
   * Reads what toJSON() or toBytes() wrote.
   *
   * @throws TypeError, RangeError for anything else.
   */
  static from(from: RemoteMemoryJson | Uint8Array): RemoteMemory {
    if (typeof from !== 'object' || from === null) throw typeError('from', from, NOT_ONE);
    if (from instanceof Uint8Array) return RemoteMemory.#fromBytes(checkBytes('from', from));
    const { key, address, length, readable, writable } = from;
    for (const number of [key, address])
      if (typeof number !== 'string' || !/^\d{1,20}$/.test(number)) throw typeError('from', from, NOT_ONE);
    return new RemoteMemory(BigInt(key), BigInt(address), length, {
      readable: readable !== false,
      writable: writable !== false,
    });
  }

  static #fromBytes(bytes: Uint8Array): RemoteMemory {
    if (bytes.length !== BYTES || bytes[0] !== FORMAT)
      throw rangeError('from', bytes, `${String(BYTES)} bytes that toBytes() gave`);
    const view = new DataView(bytes.buffer, bytes.byteOffset, BYTES);
    const flags = bytes[1];
    return new RemoteMemory(view.getBigUint64(8), view.getBigUint64(16), Number(view.getBigUint64(24)), {
      readable: (flags & READABLE) !== 0,
      writable: (flags & WRITABLE) !== 0,
    });
  }

  /** A part of it. */
  slice(offset: number, length: number): RemoteMemory {
    checkInteger('offset', offset, 0, this.length);
    if (checkInteger('length', length, 0, this.length) > this.length - offset)
      throw rangeError(
        'length',
        length,
        `at most ${String(this.length - offset)} at offset ${String(offset)}`,
      );
    return new RemoteMemory(this.key, this.address + BigInt(offset), length, this);
  }
}
