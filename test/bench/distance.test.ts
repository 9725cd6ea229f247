/** Runs are made at one distance of the cores, where that can be had. */
import { describe, expect, test } from 'vitest';
import { Distance, type Effort, commonest } from '../../bench/distance.js';

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

const patient: Effort = { lookEveryMs: 0, patienceMs: 5, repeats: 3 };
const hasty: Effort = { lookEveryMs: 0, patienceMs: 0, repeats: 0 };

/** Looks that are given one after the other, the last one for ever. */
function distanceWith(effort: Effort, ...looks: (number | undefined)[]): Distance {
  return new Distance(() => (looks.length > 1 ? looks.shift() : looks[0]), effort);
}

function distanceOf(...looks: (number | undefined)[]): Distance {
  return distanceWith(patient, ...looks);
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

  test('runs again no more often than it may', async () => {
    // There, away: for each run.
    const moving = [0, 1, 2, 3].flatMap(() => [67, 290]);
    const distance = distanceOf(67, 67, 67, ...moving);
    expect(await ran(distance)).toEqual([4, 4]);
    expect(distance.text).toContain('(1 of 1 runs were made while they were elsewhere)');
  });

  test.each([[[290]], [[67, 290]]])('runs once in any case where it is to be quick: %j', async (looks) => {
    const distance = distanceWith(hasty, 67, 67, 67, ...looks, 67);
    expect(await ran(distance)).toEqual([1, 1]);
    expect(distance.text).toContain('(1 of 1 runs were made while they were elsewhere)');
  });
});
