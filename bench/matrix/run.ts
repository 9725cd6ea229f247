// Runs the matrix: cell after cell, in each all sides in turns, A B C A B C, several times.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { explain } from 'libfabric';
import {
  type Cell,
  type ProviderPlan,
  type WorkloadPlan,
  makeCell,
  providers,
  sizeName,
  sizes,
  workloads,
} from './cells.js';
import type { Progress } from './progress.js';
import { type CellReport, SideRuns, reportCell } from './report.js';
import { type Ground, type Side, sides } from './sides.js';

/** What of the matrix is wanted; an empty list means all. */
export interface Selection {
  providers: readonly string[];
  workloads: readonly string[];
  sizes: readonly number[];
  sides: readonly string[];
  quick: boolean;
}

/** The cells to run, and the providers that are not there. */
export interface Plan {
  cells: Cell[];
  sides: readonly Side[];
  skipped: { provider: string; reason: string }[];
  /** Whether efa is wanted and there is no device: then a run of its own goes on a software one. */
  needsDevice: boolean;
}

function choose<T>(
  all: readonly T[],
  wanted: readonly string[],
  nameOf: (one: T) => string,
  what: string,
): T[] {
  for (const name of wanted)
    if (!all.some((one) => nameOf(one) === name))
      throw new Error(`there is no ${what} '${name}': ${all.map(nameOf).join(', ')}`);
  return all.filter((one) => wanted.length === 0 || wanted.includes(nameOf(one)));
}

/** libfabric's name of a provider for a workload, or why there is none. */
async function find(
  { name }: ProviderPlan,
  { name: workload }: WorkloadPlan,
): Promise<{ provider: string } | { reason: string }> {
  const isOneSided = /^(write|read)/.test(workload);
  const { chosen, candidates } = await explain({
    ...{ provider: name, node: '127.0.0.1', features: isOneSided ? ['rma'] : [] },
  });
  if (chosen !== undefined) return { provider: chosen.provider };
  return { reason: candidates[0]?.reason ?? 'libfabric names no candidate' };
}

export async function makePlan(selection: Selection): Promise<Plan> {
  const named = (one: { name: string }): string => one.name;
  const chosenSizes =
    selection.sizes.length === 0 ? sizes : [...selection.sizes].sort((left, right) => left - right);
  const plan: Plan = {
    cells: [],
    sides: choose(sides, selection.sides, named, 'side'),
    skipped: [],
    needsDevice: false,
  };
  const seen = new Set<string>();
  for (const provider of choose(providers, selection.providers, named, 'provider')) {
    for (const workload of choose(workloads, selection.workloads, named, 'workload')) {
      const found = await find(provider, workload);
      if ('reason' in found) {
        if (provider.name === 'efa') plan.needsDevice = true;
        else plan.skipped.push({ provider: provider.name, reason: `${workload.name}: ${found.reason}` });
        continue;
      }
      // 'tcp' is tcp;ofi_rxm where the machine has no better one.
      const key = `${found.provider} ${workload.name}`;
      if (seen.has(key)) continue;
      seen.add(key);
      for (const size of chosenSizes)
        if (size <= (provider.largest ?? Infinity))
          plan.cells.push(makeCell(provider, found.provider, workload, size, selection.quick));
    }
  }
  return plan;
}

/** A cell in words. */
function cellName(cell: { provider: string; size: number; workload: { name: string } }): string {
  return `${cell.provider} ${cell.workload.name} ${sizeName(cell.size)}`;
}

function readTimes(file: string): Float64Array {
  if (!existsSync(file)) return new Float64Array();
  const bytes = readFileSync(file);
  rmSync(file);
  return new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

async function runCell(
  cell: Cell,
  all: readonly SideRuns[],
  runs: number,
  ground: Ground,
  progress: Progress,
): Promise<CellReport> {
  const folder = mkdtempSync(join(tmpdir(), 'libfabric-bench-'));
  const timesFile = join(folder, 'times');
  try {
    for (let run = 1; run <= runs; run++) {
      for (const one of all) {
        progress.step(cellName(cell), `${one.side.name}, run ${run} of ${runs}`);
        // One that fails is not run again, and does not stop the others.
        if (one.isRunnable) {
          try {
            const [sample, times] = await ground.distance.run(async () => {
              const measured = await one.side.run(cell, ground, timesFile);
              return [measured, readTimes(timesFile)] as const;
            });
            one.add(sample, times);
          } catch (error) {
            one.error = (error as Error).message;
            progress.say(`${cellName(cell)}, ${one.side.name} failed: ${one.error.split('\n', 1)[0]}`);
          }
        }
        progress.done(1);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return reportCell(cell, all);
}

const sidesOf = (plan: Plan, { workload }: Cell): Side[] =>
  plan.sides.filter(({ workloads: able }) => able.includes(workload.name));

/** How many runs of a side that is. */
export function stepsOf(plan: Plan, runs: number): number {
  return plan.cells.reduce((sum, cell) => sum + runs * sidesOf(plan, cell).length, 0);
}

export async function runPlan(
  plan: Plan,
  runs: number,
  ground: Ground,
  progress: Progress,
): Promise<CellReport[]> {
  const missing = new Map(plan.sides.map((side) => [side, side.missing()]));
  const reports: CellReport[] = [];
  for (const cell of plan.cells) {
    const all = sidesOf(plan, cell).map((side) => new SideRuns(side, missing.get(side)));
    reports.push(await runCell(cell, all, runs, ground, progress));
  }
  return reports;
}
