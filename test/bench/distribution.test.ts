/** Percentiles of times, by the package's HDR histogram or by Node's. */
import { expect, test } from 'vitest';
import { Distribution } from '../../bench/matrix/distribution.js';

test('percentiles are those of all runs together, to three digits', () => {
  const distribution = new Distribution();
  // 1 to 1000 µs, in two runs.
  distribution.record(Float64Array.from({ length: 500 }, (_, index) => 2 * index + 1));
  distribution.record(Float64Array.from({ length: 500 }, (_, index) => 2 * index + 2));
  const found = distribution.percentiles();
  expect(found?.count).toBe(1000);
  for (const [percentile, exact] of [
    [50, 500],
    [90, 900],
    [99, 990],
    [99.9, 999],
    [100, 1000],
  ] as const) {
    const [, value] = found?.curve.find(([at]) => at === percentile) ?? [percentile, NaN];
    expect(Math.abs(value / exact - 1), `p${percentile}`).toBeLessThan(0.002);
  }
  expect(found?.mean).toBeCloseTo(500.5, -1);
});

test('nothing recorded has no percentiles', () => {
  expect(new Distribution().percentiles()).toBeUndefined();
});

test('a time of nothing is the least that there is', () => {
  const distribution = new Distribution();
  distribution.record(Float64Array.of(0));
  expect(distribution.percentiles()?.p50).toBe(0.001);
});
