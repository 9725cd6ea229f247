// npm run bench: how fast messages are, beside a C loop over libfabric and beside what Node has.
//
// Every comparison runs two processes, pinned to a core each, all sides in turns, several times; what is shown are medians
// over the runs. It is a benchmark and not a test: a goal that is missed is shown, and the exit code says only whether
// everything could be run.
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { isAvailable } from 'libfabric';
import { findCores } from './processes.js';
import { type Outcome, type ReportedRow, formatTable, reportRow } from './report.js';
import { type Group, type Measure, type Row, makeGroups } from './rows.js';
import { nativePrograms, runInDebian13 } from './setup.js';

const usage = `usage: npm run bench -- [options]
  --json        one JSON array of rows on stdout (npm run --silent bench -- --json)
  --runs N      runs of each side, in turns (5)
  --quick       2 runs of a quarter of the messages
  --only NAME   rows of that name only; may be given several times
  --list        names the rows
  --debian13    in a Debian 13 root, with libfabric 2.1 (needs root; scripts/debian13.sh makes it)`;

function parseArguments() {
  return parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      runs: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      list: { type: 'boolean', default: false },
      debian13: { type: 'boolean', default: false },
      native: { type: 'string' },
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
async function runGroup(group: Group, runs: number, outcomes: Map<Measure, Outcome>): Promise<void> {
  const measures = measuresOf(group);
  for (let run = 1; run <= runs; run++) {
    for (const measure of measures) {
      const before = outcomes.get(measure) ?? [];
      if (before instanceof Error) continue;
      say(`${measure.title}, run ${run} of ${runs}`);
      try {
        outcomes.set(measure, [...before, await measure.run()]);
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

async function main(): Promise<number> {
  const options = parseArguments();
  if (options.help) {
    console.log(usage);
    return 0;
  }
  if (options.debian13) return runInDebian13(process.argv.slice(2).filter((word) => word !== '--debian13'));
  const found = isAvailable();
  if (!found.available) throw new Error(`${found.reason}; ${found.remedy}`);
  const runs = Number(options.runs ?? (options.quick ? 2 : 5));
  if (!Number.isInteger(runs) || runs < 1)
    throw new Error(`--runs ${options.runs ?? ''} is not a number of runs`);

  const cores = findCores();
  const programs = nativePrograms(options.native);
  const groups = select(await makeGroups({ cores, programs, quick: options.quick }), options.only);
  if (options.list) {
    for (const { name, provider, title } of groups.flat()) console.log(`${name}  ${provider}  ${title}`);
    return 0;
  }
  const [load] = loadavg();
  say(`libfabric ${found.version}, Node ${process.versions.node}, ${cores.reason}`);
  if (load > 0.5) say(`the machine is busy (load ${load.toFixed(1)}): the figures will be noisy`);

  const outcomes = new Map<Measure, Outcome>();
  const titles = new Map<ReportedRow, string>();
  for (const group of groups) {
    await runGroup(group, runs, outcomes);
    for (const row of group) titles.set(reportRow(row, outcomes), row.title);
  }
  const rows = [...titles.keys()];
  if (options.json) {
    // Six digits are more than the measure knows.
    const rounded = (_: string, value: unknown): unknown =>
      typeof value === 'number' ? Number(value.toPrecision(6)) : value;
    process.stdout.write(`${JSON.stringify(rows, rounded, 2)}\n`);
    for (const row of rows)
      for (const error of row.errors) say(`${row.name} on ${row.provider} failed: ${error}`);
  } else {
    console.log(
      `\nlibfabric ${found.version}, Node ${process.versions.node}, ${cores.reason}, ${runs} runs\n`,
    );
    console.log(formatTable(rows, titles));
  }
  return rows.some(({ errors }) => errors.length !== 0) ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  const { message, code = '' } = error as NodeJS.ErrnoException;
  say(message);
  if (code.startsWith('ERR_PARSE_ARGS')) console.error(usage);
  process.exitCode = 2;
}
