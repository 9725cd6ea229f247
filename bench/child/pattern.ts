// Bytes that messages are checked by, before anything is measured: others at every place and in every message, so that
// what was lost, moved or repeated is noticed.

/** How many messages are checked in each direction. */
export const PROOFS = 4;

/** What the message of this number holds. */
export function pattern(size: number, number: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let index = 0; index < size; index++) bytes[index] = 1 + 7 * index + (index >> 8) + 13 * number;
  return bytes;
}

/** Whether these are the bytes of that message. */
export function holdsPattern(bytes: Uint8Array, number: number): boolean {
  return Buffer.compare(bytes, pattern(bytes.length, number)) === 0;
}

/** Throws where they are not. */
export function checkPattern(bytes: Uint8Array, size: number, number: number): void {
  if (bytes.length === size && holdsPattern(bytes, number)) return;
  throw new Error(`message ${number} does not hold the bytes that were sent`);
}
