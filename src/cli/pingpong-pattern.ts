/** What messages hold with -c: fi_pingpong's letters, which begin elsewhere in each message. */
const ALPHABET = Buffer.from('0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ', 'latin1');
const STEP = 7;

/** Writes the messages, or knows what they have to be, in order: one for what is sent, one for what is received. */
export class Pattern {
  #count = 0;
  // Twice the longest message's letters would cost more than they are worth: long messages are compared piece by piece.
  readonly #letters = Buffer.alloc(ALPHABET.byteLength * 1024, ALPHABET);

  #nextStart(): number {
    return (this.#count++ * STEP) % ALPHABET.byteLength;
  }

  fill(bytes: Uint8Array): void {
    const letters = this.#letters;
    let from = this.#nextStart();
    for (let at = 0; at < bytes.byteLength; from = 0) {
      const piece = letters.subarray(from, from + bytes.byteLength - at);
      bytes.set(piece, at);
      at += piece.byteLength;
    }
  }

  /** Fails where the next message is another one. */
  check(bytes: Uint8Array): void {
    const letters = this.#letters;
    let from = this.#nextStart();
    for (let at = 0; at < bytes.byteLength; from = 0) {
      const wanted = letters.subarray(from, from + bytes.byteLength - at);
      const piece = bytes.subarray(at, at + wanted.byteLength);
      if (Buffer.compare(wanted, piece) !== 0) throw this.#difference(piece, wanted, at, bytes.byteLength);
      at += piece.byteLength;
    }
  }

  #difference(piece: Uint8Array, wanted: Uint8Array, at: number, length: number): Error {
    const index = wanted.findIndex((byte, place) => byte !== piece[place]);
    return new Error(
      `byte ${String(at + index)} of ${String(length)} of message ${String(this.#count)} is ${String(piece[index])}, not ` +
        `${String(wanted[index])}: is the other side started with -c too?`,
    );
  }
}
