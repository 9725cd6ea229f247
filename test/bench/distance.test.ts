/** Runs are made at one distance of the cores, where that can be had. */
import { describe, expect, test } from 'vitest';
import { Distance, commonest } from '../../bench/distance.js';

describe('commonest', () => {
  test.each([
    [[67], 67],
    [[290, 67, 70, 26], 67],
    [[290, 300, 67], 290],
    [[26, 290, 291, 67, 68, 66], 66],
    [[], undefined],
  ])('of %j is %s', (looks, expected) => {
    expect(commonest(looks)).toBe(expected);
  });
});

/** Looks that are given one after the other, the last one for ever. */
function distanceOf(...looks: (number | undefined)[]): Distance {
  return new Distance(() => (looks.length > 1 ? looks.shift() : looks[0]), 0, 5);
}

/** How often the work ran, and what its result was. */
async function ran(distance: Distance): Promise<[number, number]> {
  let times = 0;
  const result = await distance.run(() => Promise.resolve(++times));
  return [times, result];
}

describe('run', () => {
  test('runs once where the cores stay where they are', async () => {
    const distance = distanceOf(67);
    expect(await ran(distance)).toEqual([1, 1]);
    expect(await ran(distance)).toEqual([1, 1]);
    expect(distance.text).toBe('a cache line takes 67 ns from core to core');
  });

  test('just runs where nothing can be measured', async () => {
    const distance = distanceOf(undefined);
    expect(await ran(distance)).toEqual([1, 1]);
    expect(distance.text).toBe('the distance of the cores was not measured');
  });

  test('waits for the distance of the first looks, and runs again where the cores moved meanwhile', async () => {
    // Three looks that are alike; then: away, back, (the run), away, back, (again), there.
    const distance = distanceOf(67, 68, 69, 290, 67, 290, 67, 67);
    expect(await ran(distance)).toEqual([2, 2]);
    expect(distance.text).toBe('a cache line takes 67 ns from core to core');
  });

  test('runs in any case, and says so', async () => {
    const distance = distanceOf(67, 67, 67, 290);
    expect(await ran(distance)).toEqual([1, 1]);
    expect(distance.text).toBe(
      'a cache line takes 67 ns from core to core (1 of 1 runs were made while they were elsewhere)',
    );
  });
});
