// npm run bench: how fast messages are, beside a C loop over libfabric and beside what Node has.
//
// Every comparison runs two processes, pinned to a core each, all sides in turns, several times; what is shown are medians
// over the runs. It is a benchmark and not a test: a goal that is missed is shown, and the exit code says only whether
// everything could be run.
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { isAvailable } from 'libfabric';
import { writeFileSync } from 'node:fs';
import { formatHtml } from './matrix/html.js';
import { formatMarkdown } from './matrix/markdown.js';
import { runMatrix } from './matrix/main.js';
import type { MatrixReport } from './matrix/report.js';
import { formatMatrix } from './matrix/table.js';
import { install } from './packages.js';
import { Distance } from './distance.js';
import { type Cores, findCores } from './processes.js';
import { type Outcome, type ReportedRow, formatTable, reportRow } from './report.js';
import { type Group, type Measure, type Row, makeGroups } from './rows.js';
import { type NativePrograms, nativePrograms, runInDebian13 } from './setup.js';

const usage = `usage: npm run bench -- [options]            a few rows, with the project's goals
       npm run bench -- --matrix [options]   every provider, workload and size, and all who are compared
       npm run bench -- --costs [options]    memory of a peer, an idle endpoint, a flood beside an HTTP server, 10^7 messages
  --json        JSON on stdout (npm run --silent bench -- --json): an array of rows; an object for the matrix
  --runs N      runs of each side, in turns (5)
  --quick       2 runs of fewer messages
  --debian13    in a Debian 13 root, with libfabric 2.1 (needs root; scripts/debian13.sh makes it)
rows:
  --only NAME   rows of that name only; may be given several times
  --list        names the rows
the matrix and the costs, which may be asked for together:
  --html FILE       one page with charts, which needs nothing else
  --markdown FILE   tables, as docs/benchmarks.md has them
  --no-install      leaves out what needs packages of bench/ that are not installed
each of these may be given several times, and leaves the others out:
  --provider NAME   shm, tcp, 'tcp;ofi_rxm', sockets, 'udp;ofi_rxd', efa (without hardware: on the software device)
  --workload NAME   ping-pong, rate, bandwidth, write, read, write-bandwidth, read-bandwidth
  --size BYTES      8 to 4194304
  --side NAME       C, fi, awaited, iterator, batched, fi_pingpong, node:net, MessagePort, ws, zeromq`;

function parseArguments() {
  return parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      runs: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      list: { type: 'boolean', default: false },
      debian13: { type: 'boolean', default: false },
      costs: { type: 'boolean', default: false },
      html: { type: 'string' },
      markdown: { type: 'string' },
      'no-install': { type: 'boolean', default: false },
      matrix: { type: 'boolean', default: false },
      provider: { type: 'string', multiple: true, default: [] },
      workload: { type: 'string', multiple: true, default: [] },
      size: { type: 'string', multiple: true, default: [] },
      side: { type: 'string', multiple: true, default: [] },
      // Of runs that a run starts: where the C programs are, and that it is on a software EFA device already.
      native: { type: 'string' },
      'on-device': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  }).values;
}

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

function measuresOf(rows: readonly Row[]): Measure[] {
  const all = rows.flatMap(({ c, ours, peer }) => [c, ours, peer]);
  return [...new Set(all.filter((measure) => measure !== undefined))];
}

/** Runs the measures of a group in turns. One that fails is not run again, and does not stop the others. */
async function runGroup(
  group: Group,
  runs: number,
  distance: Distance,
  outcomes: Map<Measure, Outcome>,
): Promise<void> {
  const measures = measuresOf(group);
  for (let run = 1; run <= runs; run++) {
    for (const measure of measures) {
      const before = outcomes.get(measure) ?? [];
      if (before instanceof Error) continue;
      say(`${measure.title}, run ${run} of ${runs}`);
      try {
        outcomes.set(measure, [...before, await distance.run(() => measure.run())]);
      } catch (error) {
        say(`${measure.title} failed: ${(error as Error).message}`);
        outcomes.set(measure, error as Error);
      }
    }
  }
}

function select(groups: readonly Group[], only: readonly string[]): Group[] {
  const known = new Set(groups.flat().map(({ name }) => name));
  for (const name of only)
    if (!known.has(name)) throw new Error(`no row is named ${name}; there are ${[...known].join(', ')}`);
  return groups
    .map((group) => group.filter(({ name }) => only.length === 0 || only.includes(name)))
    .filter((group) => group.length !== 0);
}

type Arguments = ReturnType<typeof parseArguments>;

/** What every benchmark runs with. */
interface Setting {
  version: string;
  runs: number;
  cores: Cores;
  programs: () => NativePrograms;
  distance: Distance;
}

// Six digits are more than the measure knows.
const rounded = (_: string, value: unknown): unknown =>
  typeof value === 'number' ? Number(value.toPrecision(6)) : value;

function printJson(value: object): void {
  process.stdout.write(`${JSON.stringify(value, rounded, 2)}\n`);
}

async function runRows(options: Arguments, setting: Setting): Promise<number> {
  const { version, runs, cores, programs, distance } = setting;
  const groups = select(
    await makeGroups({ cores, programs: programs(), quick: options.quick }),
    options.only,
  );
  if (options.list) {
    for (const { name, provider, title } of groups.flat()) console.log(`${name}  ${provider}  ${title}`);
    return 0;
  }
  const outcomes = new Map<Measure, Outcome>();
  const titles = new Map<ReportedRow, string>();
  for (const group of groups) {
    await runGroup(group, runs, distance, outcomes);
    for (const row of group) titles.set(reportRow(row, outcomes), row.title);
  }
  const rows = [...titles.keys()];
  if (options.json) {
    printJson(rows);
    say(distance.text);
    for (const row of rows)
      for (const error of row.errors) say(`${row.name} on ${row.provider} failed: ${error}`);
  } else {
    console.log(`\nlibfabric ${version}, Node ${process.versions.node}, ${cores.reason}, ${runs} runs`);
    console.log(`${distance.text}\n`);
    console.log(formatTable(rows, titles));
  }
  return rows.some(({ errors }) => errors.length !== 0) ? 1 : 0;
}

function sizeOf(text: string): number {
  const size = Number(text);
  if (Number.isInteger(size) && size >= 1 && size <= 1 << 22) return size;
  throw new Error(`--size ${text} is not a number of bytes from 1 to ${1 << 22}`);
}

function hasErrors({ cells, costs }: MatrixReport): boolean {
  const failed = cells.some(({ sides }) => sides.some(({ error }) => error !== null));
  return failed || costs.some(({ error }) => error !== null);
}

async function runMatrixOf(options: Arguments, setting: Setting): Promise<number> {
  const { version, ...common } = setting;
  const { provider: providers, workload: workloads, side: sides, quick, native } = options;
  const wanted = { providers, workloads, sizes: options.size.map(sizeOf), sides, quick };
  const selection = options.matrix ? wanted : undefined;
  const more = { selection, native, libfabric: version, load: loadavg()[0], say };
  const all = { ...common, ...more, withCosts: options.costs, quick, providers };
  const report = await runMatrix(all, options['on-device']);
  if (options.html !== undefined) writeFileSync(options.html, formatHtml(report));
  if (options.markdown !== undefined) writeFileSync(options.markdown, formatMarkdown(report));
  if (options.json) printJson(report);
  else console.log(formatMatrix(report));
  return hasErrors(report) ? 1 : 0;
}

function runsOf({ runs, quick }: Arguments): number {
  const asked = Number(runs ?? (quick ? 2 : 5));
  if (Number.isInteger(asked) && asked >= 1) return asked;
  throw new Error(`--runs ${runs ?? ''} is not a number of runs`);
}

async function main(): Promise<number> {
  const options = parseArguments();
  if (options.help) {
    console.log(usage);
    return 0;
  }
  const isMatrix = options.matrix || options.costs;
  if (isMatrix && !options['no-install']) {
    const failure = install(say);
    if (failure !== undefined)
      say(`the packages of bench/ could not be installed, sides that need them are left out: ${failure}`);
  }
  if (options.debian13) return runInDebian13(process.argv.slice(2).filter((word) => word !== '--debian13'));
  const found = isAvailable();
  if (!found.available) throw new Error(`${found.reason}; ${found.remedy}`);
  const { version } = found;
  const runs = runsOf(options);
  const cores = findCores();
  const [load] = loadavg();
  if (!options.list) {
    say(`libfabric ${version}, Node ${process.versions.node}, ${cores.reason}`);
    if (load > 0.5) say(`the machine is busy (load ${load.toFixed(1)}): the figures will be noisy`);
  }
  const programs = (): NativePrograms => nativePrograms(options.native);
  const distance = Distance.of(cores, () => programs().coreDistance, options.quick);
  const setting = { version, runs, cores, programs, distance };
  return await (isMatrix ? runMatrixOf : runRows)(options, setting);
}

try {
  process.exitCode = await main();
} catch (error) {
  const { message, code = '' } = error as NodeJS.ErrnoException;
  say(message);
  if (code.startsWith('ERR_PARSE_ARGS')) console.error(usage);
  process.exitCode = 2;
}
