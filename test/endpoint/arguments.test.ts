// Lengths above what the provider moves at once. Most providers take more than there is memory: so the checks themselves.
import { expect, test } from 'vitest';
import { isAvailable } from 'libfabric';
import { checkData, checkInto, checkReadInto } from '../../src/endpoint/arguments.js';
import { Lease, SlabAllocator } from '../../src/endpoint/slab.js';
import type { Limits } from '../../src/endpoint/types.js';

const limits: Limits = {
  ...{ maxMessageSize: 100, injectSize: 0, immediateSize: 0 },
  ...{ maxOperations: 1, maxBytesInFlight: 1000 },
};

test('what is longer than the provider takes is refused, in a Lease too', ({ skip }) => {
  const library = isAvailable();
  if (!library.available) skip(library.reason);
  const memory = new SlabAllocator(undefined, [], () => undefined);
  const fitting = new Lease(memory, 100);
  const tooLong = new Lease(memory, 101);
  for (const check of [checkData, checkReadInto]) {
    const message = /^(data|into)\.length must be at most 100 bytes, what the provider takes; got 101$/;
    expect(() => check(tooLong, memory, limits)).toThrow(message);
    expect(() => check(new Uint8Array(101), memory, limits)).toThrow(message);
    expect(check(fitting, memory, limits)).toBe(100);
    expect(check(new Uint8Array(100), memory, limits)).toBe(100);
  }
  expect(() => checkReadInto(101, memory, limits)).toThrow(/^into must be a whole number from 0 to 100/);
  // A message may be shorter than where it is received.
  expect(checkInto(tooLong, memory, limits)).toBe(101);
  expect(checkInto(new Uint8Array(101), memory, limits)).toBe(101);
});
