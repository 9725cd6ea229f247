// From samples to figures, and from figures to a table or JSON.
import type { Sample } from './processes.js';
import type { Figures, Measure, Row } from './rows.js';

/** What came of a measure: its runs, or why it could not be run. */
export type Outcome = Sample[] | Error;

/** One row as `--json` prints it. Figures are medians over the runs; null where there is none. */
export interface ReportedRow extends Figures {
  name: string;
  provider: string;
  size: number;
  unit: string;
  peerName: string;
  /** User and system seconds of both our processes in one run; cpuC and cpuPeer: of the others for as many messages. */
  cpu: number | null;
  cpuC: number | null;
  cpuPeer: number | null;
  /** 'p50', 'mean' or 'rate': what ours, c and peer are. Beside a p50 stand the means. */
  statistic: string;
  oursMean: number | null;
  cMean: number | null;
  peerMean: number | null;
  runs: number;
  goals: { goal: string; met: boolean }[];
  /** What was chosen at run time. */
  note: string;
  errors: string[];
}

function median(values: readonly (number | undefined)[]): number | null {
  const sorted = values.filter((value) => value !== undefined).sort((left, right) => left - right);
  if (sorted.length === 0) return null;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const divide = (left: number | null, right: number | null): number | null =>
  left === null || right === null || right === 0 ? null : left / right;

/** The runs of one side of a row. */
class Side {
  readonly samples: readonly Sample[];
  readonly error: Error | undefined;

  constructor(
    outcomes: ReadonlyMap<Measure, Outcome>,
    private readonly measure: Measure | undefined,
  ) {
    const outcome = measure === undefined ? [] : (outcomes.get(measure) ?? []);
    this.samples = outcome instanceof Error ? [] : outcome;
    this.error = outcome instanceof Error ? outcome : undefined;
  }

  median(statistic: Row['statistic'] | 'libfabric'): number | null {
    if (statistic === 'addon' || statistic === 'libfabric')
      return median(this.samples.map(({ allocations }) => allocations?.[statistic]));
    return median(this.samples.map((sample) => sample[statistic]));
  }

  /** CPU seconds for as many round trips or messages as `like` had. */
  cpu(like: Measure | undefined): number | null {
    const seconds = median(this.samples.map(({ cpuSeconds }) => cpuSeconds));
    if (seconds === null || this.measure === undefined || like === undefined) return seconds;
    return (seconds * like.iterations) / this.measure.iterations;
  }

  note(): string {
    const allocations = this.samples.find((sample) => (sample.allocations?.addon ?? 0) > 0)?.allocations;
    if (allocations !== undefined) return `last one at ${allocations.lastOffset} of libfabric.node`;
    return [...new Set(this.samples.map(({ note }) => note).filter((note) => note !== undefined))].join(
      ' / ',
    );
  }
}

export function reportRow(row: Row, outcomes: ReadonlyMap<Measure, Outcome>): ReportedRow {
  const ours = new Side(outcomes, row.ours);
  const c = new Side(outcomes, row.c);
  const counts = row.statistic === 'addon';
  const peer = counts ? ours : new Side(outcomes, row.peer);
  const values = {
    ours: ours.median(row.statistic),
    c: c.median(row.statistic),
    peer: peer.median(counts ? 'libfabric' : row.statistic),
  };
  const figures: Figures = {
    ...values,
    ratioToC: divide(values.ours, values.c),
    ratioToPeer: counts ? null : divide(values.ours, values.peer),
  };
  const notes = [ours.note(), c.note() === '' ? '' : `C ${c.note()}`].filter((note) => note !== '');
  const sides: [string, Side][] = [
    ['ours', ours],
    ['C', c],
    ...(counts ? [] : [[row.peerName, peer] as [string, Side]]),
  ];
  return {
    name: row.name,
    provider: row.provider,
    size: row.size,
    unit: row.unit,
    ...values,
    peerName: row.peerName,
    ratioToC: figures.ratioToC,
    ratioToPeer: figures.ratioToPeer,
    cpu: ours.cpu(row.ours),
    cpuC: c.cpu(row.ours),
    cpuPeer: counts ? null : peer.cpu(row.ours),
    statistic: counts ? 'count' : row.statistic,
    oursMean: ours.median('mean'),
    cMean: c.median('mean'),
    peerMean: counts ? null : peer.median('mean'),
    runs: Math.max(ours.samples.length, c.samples.length),
    goals: row.goals.map(({ text, isMet }) => ({ goal: text, met: isMet(figures) })),
    note: notes.join(', '),
    errors: sides.flatMap(([name, { error }]) => (error === undefined ? [] : [`${name}: ${error.message}`])),
  };
}

function digits(value: number | null): string {
  if (value === null) return '–';
  if (value !== 0 && Math.abs(value) < 100 && !Number.isInteger(value))
    return value.toFixed(value < 10 ? 3 : 1);
  return Math.round(value).toLocaleString('en');
}

const withMean = (value: number | null, mean: number | null, show: boolean): string =>
  show && value !== null && mean !== null ? `${digits(value)} (${digits(mean)})` : digits(value);

const ratio = (value: number | null): string => (value === null ? '–' : value.toFixed(2));

const HEADINGS = [
  '',
  'provider',
  'unit',
  'ours',
  'C',
  'peer',
  '',
  'ours/C',
  'ours/peer',
  'CPU s: ours, C, peer',
  'goals',
];

function cells(row: ReportedRow): string[] {
  const means = row.statistic === 'p50';
  return [
    row.name,
    row.provider,
    row.unit,
    withMean(row.ours, row.oursMean, means),
    withMean(row.c, row.cMean, means),
    withMean(row.peer, row.peerMean, means),
    row.peerName,
    ratio(row.ratioToC),
    ratio(row.ratioToPeer),
    [row.cpu, row.cpuC, row.cpuPeer].map((value) => (value === null ? '–' : value.toFixed(2))).join(' '),
    row.goals.map(({ goal, met }) => `${met ? '✓' : '✗'} ${goal}`).join(', '),
  ];
}

/** A table for people; then what each row means, and what went wrong. */
export function formatTable(rows: readonly ReportedRow[], titles: ReadonlyMap<ReportedRow, string>): string {
  const lines = [HEADINGS, ...rows.map(cells)];
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const table = lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  );
  const words = rows.map((row) => {
    const note = row.note === '' ? '' : ` [${row.note}]`;
    return `${row.name} on ${row.provider}: ${titles.get(row) ?? ''}${note}`;
  });
  const failures = rows.flatMap((row) =>
    row.errors.map((error) => `${row.name} on ${row.provider} failed: ${error}`),
  );
  return [...table, '', ...words, ...(failures.length === 0 ? [] : ['', ...failures])].join('\n');
}
