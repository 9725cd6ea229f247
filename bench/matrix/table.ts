// The matrix for a terminal: one line for each side of each cell. Ratios, and no verdicts.
import type { CostReport } from '../costs/report.js';
import { sizeName } from './cells.js';
import type { CellReport, MatrixReport, SideReport } from './report.js';

/** Three digits that count, as people write them. */
export function figure(value: number | null): string {
  if (value === null) return '–';
  if (value === 0) return '0';
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en');
  return value.toPrecision(3);
}

export const ratio = (value: number | null): string => (value === null ? '–' : `${value.toPrecision(3)} ×`);

const HEADINGS = ['', 'median', 'min', 'max', 'to C', 'p99', 'p99.9', 'CPU s', ''];

function cells(side: SideReport): string[] {
  const { percentiles } = side;
  return [
    side.side,
    ...[side.median, side.min, side.max].map(figure),
    ratio(side.ratioToC),
    ...[percentiles?.p99 ?? null, percentiles?.p999 ?? null].map(figure),
    side.cpu === null ? '–' : side.cpu.toFixed(2),
    side.missing ?? side.error?.split('\n', 1)[0] ?? side.note,
  ];
}

/** Columns as wide as they have to be. */
export function align(lines: readonly (readonly string[])[]): string[] {
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  return lines.map((line) => {
    const padded = line.map((cell, column) =>
      column === 0 || column === line.length - 1
        ? cell.padEnd(widths[column])
        : cell.padStart(widths[column]),
    );
    return padded.join('  ').trimEnd();
  });
}

function cellTable(cell: CellReport): string {
  const heading = `${cell.provider}, ${cell.name} of ${sizeName(cell.size)}, ${cell.unit} (${cell.title})`;
  return [heading, ...align([HEADINGS, ...cell.sides.map(cells)]).map((line) => `  ${line}`)].join('\n');
}

function costTable(costs: readonly CostReport[]): string[] {
  const names = [...new Set(costs.map(({ name }) => name))];
  return names.map((name) => {
    const rows = costs.filter((cost) => cost.name === name);
    const columns = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))];
    const lines = rows.map(({ provider, of, figures, error }) => [
      `${provider}, ${of}`,
      ...columns.map((column) => figure(figures[column] ?? null)),
      error?.split('\n', 1)[0] ?? '',
    ]);
    return [name, ...align([['', ...columns, ''], ...lines]).map((line) => `  ${line}`)].join('\n');
  });
}

/** What was measured on, in one line. */
export function machineLine({ machine, runs, quick }: MatrixReport): string {
  const { cpu, cores, memoryGiB, system, node, libfabric, pinning, distance } = machine;
  const parts = [
    `${cpu}, ${cores} cores, ${memoryGiB} GiB`,
    system,
    `Node ${node}`,
    `libfabric ${libfabric}`,
  ];
  return `${parts.join('; ')}; ${pinning}; ${distance}; ${runs} runs${quick ? ' (--quick)' : ''}`;
}

export function formatMatrix(report: MatrixReport): string {
  const skipped = report.skipped.map(({ provider, reason }) => `skipped: ${provider}: ${reason}`);
  return [
    machineLine(report),
    ...report.cells.map(cellTable),
    ...costTable(report.costs),
    ...(skipped.length === 0 ? [] : [skipped.join('\n')]),
  ].join('\n\n');
}
