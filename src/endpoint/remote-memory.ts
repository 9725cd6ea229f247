// What names memory of another process. The type is there from the start; reading and writing come with 'rma'.
import { checkInteger, checkUint64, rangeError, typeError } from '../fi/errors.js';

/** RemoteMemory as JSON: bigints as decimal text. */
export interface RemoteMemoryJson {
  /** Decimal. */
  key: string;
  /** Decimal. */
  address: string;
  /** Bytes. */
  length: number;
}

/** Memory of another process that this one may read or write: a key, where it starts, and its length in bytes. */
export class RemoteMemory {
  /** What the other side names the memory by (fi_mr_key). */
  readonly key: bigint;
  /** Where it starts: a virtual address, or 0, as the provider wants it. */
  readonly address: bigint;
  /** Its bytes. */
  readonly length: number;

  constructor(key: bigint, address: bigint, length: number) {
    this.key = checkUint64('key', key);
    this.address = checkUint64('address', address);
    this.length = checkInteger('length', length, 0, Number.MAX_SAFE_INTEGER);
  }

  /** For JSON.stringify(). */
  toJSON(): RemoteMemoryJson {
    return { key: String(this.key), address: String(this.address), length: this.length };
  }

  /** Reads what toJSON() wrote. */
  static from(json: RemoteMemoryJson): RemoteMemory {
    if (typeof json !== 'object' || json === null) throw typeError('json', json, "a RemoteMemory's toJSON()");
    const { key, address, length } = json;
    if (!/^\d+$/.test(key) || !/^\d+$/.test(address))
      throw typeError('json', json, "a RemoteMemory's toJSON()");
    return new RemoteMemory(BigInt(key), BigInt(address), length);
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
    return new RemoteMemory(this.key, this.address + BigInt(offset), length);
  }
}
