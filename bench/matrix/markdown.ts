// The matrix as Markdown, for docs/benchmarks.md: made from a run, never by hand. Laid out as Prettier does.
import type { CostReport } from '../costs/report.js';
import { sizeName } from './cells.js';
import type { CellReport, MatrixReport, SideReport } from './report.js';
import { figure } from './table.js';

/** A table whose columns but for the first are to the right. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(4, ...rows.map((row) => row[column].length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))).join(' | ')} |`;
  const rule = widths.map((width, at) => (at === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  const [heading, ...body] = rows;
  return [line(heading), `| ${rule.join(' | ')} |`, ...body.map(line)].join('\n');
}

function sideText(side: SideReport | undefined): string {
  if (side === undefined || side.median === null) return '–';
  const { median, min, max, ratioToC, side: name } = side;
  const runs = min === max ? '' : ` (${figure(min)}–${figure(max)})`;
  return `${figure(median)}${runs}${ratioToC === null || name === 'C' ? '' : `, ${ratioToC.toPrecision(2)} ×`}`;
}

function workload(cells: readonly CellReport[]): string {
  const [{ name, title, unit }] = cells;
  const names = [...new Set(cells.flatMap(({ sides }) => sides.map(({ side }) => side)))];
  const rows = cells.map(({ size, sides }) => [
    sizeName(size),
    ...names.map((wanted) => sideText(sides.find(({ side }) => side === wanted))),
  ]);
  return [`### ${name}, ${unit}`, `In full: ${title}.`, table([['', ...names], ...rows])].join('\n\n');
}

function costs(all: readonly CostReport[]): string[] {
  const names = [...new Set(all.map(({ name }) => name))];
  const parts = names.map((name) => {
    const rows = all.filter((cost) => cost.name === name);
    const columns = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))];
    const lines = rows.map(({ provider, of, figures }) => [
      `${provider}, ${of}`,
      ...columns.map((column) => figure(figures[column] ?? null)),
    ]);
    return [`### ${name}`, table([['', ...columns], ...lines])].join('\n\n');
  });
  return parts.length === 0 ? [] : ['## Costs', ...parts];
}

export function formatMarkdown({ machine, runs, quick, cells, skipped, costs: all }: MatrixReport): string {
  const providers = [...new Set(cells.map(({ provider }) => provider))];
  const of = (provider: string, name?: string): CellReport[] =>
    cells.filter((cell) => cell.provider === provider && (name ?? cell.name) === cell.name);
  const parts = providers.flatMap((provider) => [
    `## ${provider}`,
    ...[...new Set(of(provider).map(({ name }) => name))].map((name) => workload(of(provider, name))),
  ]);
  const facts = [
    ['processor', `${machine.cpu}, ${machine.cores} cores`],
    ['memory', `${machine.memoryGiB} GiB`],
    ['system', machine.system],
    ['Node.js', machine.node],
    ['libfabric', machine.libfabric],
    ['processes', machine.pinning],
    ['cores', machine.distance],
    ['load before', machine.loadBefore.toFixed(1)],
    ['runs of each', `${runs}${quick ? ', quick ones' : ''}`],
    ['date', machine.date.slice(0, 10)],
  ];
  const left = skipped.map(({ provider, reason }) => `- ${provider}: ${reason}`);
  return `${[
    '# Benchmarks',
    `<!-- Made by: npm run bench -- ${process.argv.slice(2).join(' ')} -->`,
    'One run on one machine. [performance.md](performance.md) says what is measured and how to measure yours. Figures are medians over the\nruns, with the least and the greatest, and the ratio to the C loop of the same cell.',
    table([['', 'measured on'], ...facts]),
    ...parts,
    ...costs(all),
    ...(left.length === 0 ? [] : ['## Not measured', left.join('\n')]),
  ].join('\n\n')}\n`;
}
