/** What the tests of the everyday layer share: messages that can be told apart, and promises looked at closely. */
import { expect } from 'vitest';

/** Bytes that tell which message they belong to, and where in it. */
export function pattern(length: number, seed = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  const step = 2 * seed + 1;
  for (let index = 0; index < length; index++) bytes[index] = index * step + seed + (index >> 8);
  return bytes;
}

/** Fails with a short text, where a matcher would print megabytes. */
export function expectBytes(actual: Uint8Array, expected: Uint8Array): void {
  expect(actual.byteLength).toBe(expected.byteLength);
  if (Buffer.compare(actual, expected) === 0) return;
  const at = expected.findIndex((byte, index) => byte !== actual[index]);
  expect.fail(`byte ${at} of ${expected.byteLength} is ${actual[at]} instead of ${expected[at]}`);
}

/** A message that begins with a number. */
export function numbered(number: number, length = 8): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Math.max(length, 4));
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}

export function numberOf({ data }: { data: Uint8Array }): number {
  return new DataView(data.buffer, data.byteOffset, data.byteLength).getUint32(0);
}

/** The numbers below a bound, in order. */
export function range(length: number): number[] {
  return Array.from({ length }, (_, number) => number);
}

/** The error of a promise that must reject. */
export async function rejection(promise: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  let error: unknown;
  try {
    await promise;
  } catch (reason) {
    error = reason;
  }
  if (error === undefined) expect.fail('the promise resolved');
  return error as Error & Record<string, unknown>;
}

/** Whether promises have settled when the microtasks of now are done. */
export async function settledOf(promises: readonly Promise<unknown>[]): Promise<boolean[]> {
  const settled = promises.map(() => false);
  promises.forEach((promise, index) => {
    const note = (): void => {
      settled[index] = true;
    };
    promise.then(note, note);
  });
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

/** Looks again and again until a condition holds; the test's own timeout bounds it. Pauses, as some providers have threads. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** The next message of an iterator that has not ended. */
export async function next<T>(iterator: AsyncIterator<T, undefined>): Promise<T> {
  const { done, value } = await iterator.next();
  if (done === true) expect.fail('the iterator has ended');
  return value;
}
