// npm run bench -- --matrix: every provider, workload and size, and who is compared in each.
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CostOptions, chooseCosts, costSteps, runCosts } from '../costs/run.js';
import type { CostReport } from '../costs/report.js';
import type { Distance } from '../distance.js';
import type { Cores } from '../processes.js';
import type { NativePrograms } from '../setup.js';
import { showProgress } from './progress.js';
import { type CellReport, type MatrixReport, describeMachine } from './report.js';
import { type Plan, type Selection, makePlan, runPlan, stepsOf } from './run.js';

export interface MatrixOptions {
  /** Cells of the matrix; undefined: none. */
  selection: Selection | undefined;
  /** Whether to measure costs as well. */
  withCosts: boolean;
  quick: boolean;
  /** Those wanted; an empty list means all. */
  providers: readonly string[];
  runs: number;
  cores: Cores;
  programs: () => NativePrograms;
  distance: Distance;
  /** Where the C programs are, for a run on a software device. */
  native: string | undefined;
  libfabric: string;
  load: number;
  say: (text: string) => void;
}

/** This checkout: the program runs as out/bench/matrix/main.js. */
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

/** The provider's own buffers take a second to make and register; these are as long as the program's queues. */
const onDevice = { FI_EFA_RX_SIZE: '512', FI_EFA_TX_SIZE: '512' };

/** The cells of provider efa, in a process of its own on the software device. */
async function runOnDevice(selection: Selection, { runs, native }: MatrixOptions): Promise<CellReport[]> {
  const { workloads, sizes, sides, quick } = selection;
  const flags = (name: string, values: readonly (string | number)[]): string[] =>
    values.flatMap((value) => [name, String(value)]);
  const args = [
    ...[join(root, 'dist', 'cli', 'main.js'), 'softefa', '--', process.execPath],
    ...[join(root, 'out', 'bench', 'run.js'), '--matrix', '--json', '--no-install'],
    ...['--provider', 'efa', '--on-device'],
    ...['--runs', String(runs), ...(quick ? ['--quick'] : [])],
    ...[...flags('--workload', workloads), ...flags('--size', sizes), ...flags('--side', sides)],
    ...(native === undefined ? [] : ['--native', native]),
  ];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...onDevice, ...process.env },
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const output = await text(child.stdout);
  const status = await ended;
  if (output === '') throw new Error(`the run on the software device ended with ${status ?? 'a signal'}`);
  return (JSON.parse(output) as MatrixReport).cells;
}

async function addDevice(plan: Plan, options: MatrixOptions): Promise<CellReport[]> {
  const { selection } = options;
  if (!plan.needsDevice || selection === undefined) return [];
  options.say('efa: no device here, on the software one');
  try {
    return await runOnDevice(selection, options);
  } catch (error) {
    plan.skipped.push({ provider: 'efa', reason: (error as Error).message });
    return [];
  }
}

const nothing: Plan = { cells: [], sides: [], skipped: [], needsDevice: false };

/** `isOnDevice`: this is the run that was started on a software device, which starts none itself. */
export async function runMatrix(options: MatrixOptions, isOnDevice: boolean): Promise<MatrixReport> {
  const { selection, runs, cores, programs, distance, libfabric, load, quick, providers } = options;
  const plan = selection === undefined ? nothing : await makePlan(selection);
  const costOptions: CostOptions = { providers, quick, runs, cores };
  const chosen = options.withCosts ? await chooseCosts(costOptions) : [];
  const machine = describeMachine(libfabric, cores.reason, load);
  const progress = showProgress(stepsOf(plan, runs) + costSteps(chosen, runs));
  let cells: CellReport[];
  let costs: CostReport[];
  try {
    cells = await runPlan(plan, runs, { cores, distance, loop: () => programs().loop }, progress);
    costs = await runCosts(chosen, costOptions, progress);
  } finally {
    progress.stop();
  }
  if (isOnDevice) plan.needsDevice = false;
  cells.push(...(await addDevice(plan, options)));
  return {
    machine: { ...machine, distance: distance.text },
    runs,
    quick,
    cells,
    skipped: plan.skipped,
    costs,
  };
}
