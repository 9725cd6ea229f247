// How the times of a side are distributed: an HDR histogram over all its runs, in whole nanoseconds.
import { createHistogram } from 'node:perf_hooks';
import { type HdrHistogram, load } from '../packages.js';

const HIGHEST_NS = 100_000_000_000;
const DIGITS = 3;

/** What is plotted: percentiles, denser towards the end. */
const PERCENTILES = [0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100];

/** Percentiles in µs, and the points of their curve. */
export interface Percentiles {
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
  mean: number;
  count: number;
  curve: [percentile: number, microseconds: number][];
}

/** Node's own HDR histogram in the place of the package's, where that is not installed. */
function fromNode(): HdrHistogram {
  const histogram = createHistogram({ lowest: 1, highest: HIGHEST_NS, figures: DIGITS });
  return {
    recordValue: (value) => histogram.record(value),
    getValueAtPercentile: (percentile) =>
      percentile <= 0 ? histogram.min : histogram.percentile(Math.min(100, percentile)),
    get totalCount() {
      return histogram.count;
    },
    get maxValue() {
      return histogram.max;
    },
    get mean() {
      return histogram.mean;
    },
  };
}

function make(): HdrHistogram {
  const hdr = load('hdr-histogram-js');
  if (hdr === undefined) return fromNode();
  return hdr.build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: HIGHEST_NS,
    numberOfSignificantValueDigits: DIGITS,
    bitBucketSize: 64,
  });
}

/** Times of all runs. */
export class Distribution {
  readonly #histogram = make();

  record(microseconds: Float64Array): void {
    for (const time of microseconds)
      // A clock that did not move has no place on a logarithmic axis.
      this.#histogram.recordValue(Math.min(HIGHEST_NS, Math.max(1, Math.round(time * 1000))));
  }

  /** Undefined where nothing was recorded. */
  percentiles(): Percentiles | undefined {
    const histogram = this.#histogram;
    if (histogram.totalCount === 0) return undefined;
    const at = (percentile: number): number => histogram.getValueAtPercentile(percentile) / 1000;
    return {
      ...{ p50: at(50), p90: at(90), p99: at(99), p999: at(99.9) },
      ...{ max: histogram.maxValue / 1000, mean: histogram.mean / 1000, count: histogram.totalCount },
      curve: PERCENTILES.map((percentile) => [percentile, at(percentile)]),
    };
  }
}
