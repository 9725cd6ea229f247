// What the messages hold, so that the other side can tell whether each arrived whole, unaltered, and in its turn: the
// number of the message in the first four bytes, where there are four, and after it a pattern that no shift maps to itself.

/** Messages of one size. Only the number changes from one to the next. */
export class Pattern {
  readonly #expected: Buffer;

  constructor(size: number) {
    this.#expected = Buffer.allocUnsafe(size);
    // 251 is prime: no power of two, as buffers and packets have, is a multiple of the period.
    for (let index = 0; index < size; index++) this.#expected[index] = index % 251;
  }

  /** Makes `message` the one with this number. */
  write(message: Uint8Array, number: number): void {
    this.#stamp(number);
    message.set(this.#expected);
  }

  /** Makes a message that write() has filled the one with this number. */
  renumber(message: Uint8Array, number: number): void {
    this.#stamp(number);
    message.set(this.#expected.subarray(0, 4));
  }

  /** Throws unless `message` is the one with this number, to the last byte. */
  check(message: Uint8Array, number: number): void {
    this.#stamp(number);
    const { length } = this.#expected;
    if (message.length !== length)
      throw new Error(`message ${number} has ${message.length} bytes instead of ${length}`);
    if (this.#expected.equals(message)) return;
    const at = this.#expected.findIndex((byte, index) => byte !== message[index]);
    throw new Error(`message ${number} of ${length} bytes is wrong from byte ${at} on`);
  }

  #stamp(number: number): void {
    if (this.#expected.length >= 4) this.#expected.writeUInt32LE(number);
  }
}
