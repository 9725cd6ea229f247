// What comes out of the matrix: the shape of its JSON, and how runs become figures.
import { arch, cpus, release, totalmem, type } from 'node:os';
import type { CostReport } from '../costs/report.js';
import type { Sample } from '../processes.js';
import type { Cell, WorkloadPlan } from './cells.js';
import { Distribution, type Percentiles } from './distribution.js';
import type { Side } from './sides.js';

/** One side of a cell. Figures are null where nothing was measured: then `error` or `missing` says why. */
export interface SideReport {
  side: string;
  kind: Side['kind'];
  /** Over the runs: of medians in µs (fi_pingpong: of means), of messages/s, of MB/s. */
  median: number | null;
  min: number | null;
  max: number | null;
  runs: number[];
  /** Of the medians: below 1 is less time, or fewer messages, than the C loop. */
  ratioToC: number | null;
  /** Of all runs together; of what is timed one by one. */
  percentiles: Percentiles | null;
  /** User and system seconds of both processes in one run, median. */
  cpu: number | null;
  /** Messages whose bytes were checked, in each run. */
  verified: number;
  note: string;
  missing: string | null;
  error: string | null;
}

/** One provider, workload and size. */
export interface CellReport {
  name: WorkloadPlan['name'];
  title: string;
  provider: string;
  size: number;
  unit: WorkloadPlan['unit'];
  iterations: number;
  window: number;
  sides: SideReport[];
}

/** What the figures were measured on. */
export interface Machine {
  date: string;
  cpu: string;
  cores: number;
  memoryGiB: number;
  system: string;
  pinning: string;
  /** How far the cores were from each other while measuring. */
  distance: string;
  node: string;
  libfabric: string;
  loadBefore: number;
}

export interface MatrixReport {
  machine: Machine;
  runs: number;
  quick: boolean;
  cells: CellReport[];
  /** Providers that could not be measured, and why. */
  skipped: { provider: string; reason: string }[];
  costs: CostReport[];
}

export function describeMachine(
  libfabric: string,
  pinning: string,
  loadBefore: number,
): Omit<Machine, 'distance'> {
  const [first] = cpus();
  return {
    date: new Date().toISOString(),
    cpu: first.model,
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()} ${arch()}`,
    pinning,
    node: process.versions.node,
    libfabric,
    loadBefore,
  };
}

export function median(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The runs of one side in one cell. */
export class SideRuns {
  readonly #samples: Sample[] = [];
  readonly #distribution = new Distribution();
  error: string | undefined;

  constructor(
    readonly side: Side,
    readonly missing: string | undefined,
  ) {}

  get isRunnable(): boolean {
    return this.missing === undefined && this.error === undefined;
  }

  add(sample: Sample, times: Float64Array): void {
    this.#samples.push(sample);
    this.#distribution.record(times);
  }

  /** What one run says, in the cell's unit. */
  #figure({ workload, size }: Cell, sample: Sample): number | undefined {
    if (workload.unit === 'µs') return sample.p50 ?? sample.mean;
    if (sample.rate === undefined) return undefined;
    return workload.unit === 'MB/s' ? (sample.rate * size) / 1e6 : sample.rate;
  }

  median(cell: Cell): number | null {
    return median(this.#figures(cell));
  }

  #figures(cell: Cell): number[] {
    return this.#samples.map((sample) => this.#figure(cell, sample)).filter((figure) => figure !== undefined);
  }

  report(cell: Cell, c: number | null): SideReport {
    const runs = this.#figures(cell);
    const middle = median(runs);
    const present = runs.length !== 0;
    const cpu = this.#samples.map(({ cpuSeconds }) => cpuSeconds).filter((value) => value !== undefined);
    const notes = this.#samples.map(({ note }) => note).filter((note) => note !== undefined);
    return {
      ...{ side: this.side.name, kind: this.side.kind, median: middle },
      ...{ min: present ? Math.min(...runs) : null, max: present ? Math.max(...runs) : null, runs },
      ratioToC: middle === null || c === null || c === 0 ? null : middle / c,
      percentiles: this.#distribution.percentiles() ?? null,
      cpu: median(cpu),
      verified: present ? Math.min(...this.#samples.map(({ verified }) => verified ?? 0)) : 0,
      note: [...new Set(notes)].join(' / '),
      ...{ missing: this.missing ?? null, error: this.error ?? null },
    };
  }
}

export function reportCell(cell: Cell, all: readonly SideRuns[]): CellReport {
  const c = all.find(({ side }) => side.name === 'C')?.median(cell) ?? null;
  const { workload, provider, size, iterations, window } = cell;
  return {
    ...{ name: workload.name, title: workload.title, provider, size, unit: workload.unit },
    ...{ iterations, window },
    sides: all.map((runs) => runs.report(cell, c)),
  };
}
