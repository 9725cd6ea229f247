// The matrix as one page that needs nothing else: charts over the sizes, charts of percentiles, and all figures.
import type { CostReport } from '../costs/report.js';
import { sizeName } from './cells.js';
import { type Line, chart, escape, logAxis, percentileAxis, valueAxis } from './plot.js';
import type { CellReport, MatrixReport, SideReport } from './report.js';
import { figure, machineLine, ratio } from './table.js';

const STYLE = `
:root { color-scheme: light dark; --grid: #8884; --soft: #888; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { font-weight: 600; } h2 { margin-top: 2.5rem; border-top: 1px solid var(--grid); padding-top: 1rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(440px, 1fr)); gap: 1rem; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: currentColor; } svg .title { font-size: 13px; font-weight: 600; }
.grid line { stroke: var(--grid); } .grid text { fill: var(--soft); }
.key span { margin-right: 1.2em; white-space: nowrap; } .key b { display: inline-block; width: 1.6em; height: 0; vertical-align: middle; margin-right: .4em; border-top: 3px solid; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; } th, td { padding: .15rem .7rem; text-align: right; }
th:first-child, td:first-child, td:last-child { text-align: left; } caption { text-align: left; font-weight: 600; padding-top: 1rem; }
p.machine { color: var(--soft); }`;

const COLOURS: Record<string, string> = {
  ...{ C: '#808080', fi: '#1668c7', awaited: '#d9480f', iterator: '#2b8a3e', batched: '#9c36b5' },
  ...{
    fi_pingpong: '#b0905a',
    'node:net': '#e0a800',
    MessagePort: '#0b9e9e',
    ws: '#e64980',
    zeromq: '#5c5f66',
  },
};

const colourOf = (side: string): string => COLOURS[side] ?? '#808080';

function line({ side, kind }: SideReport, points: Line['points']): Line {
  return { name: side, colour: colourOf(side), isDashed: kind !== 'ours', points };
}

/** One workload on one provider, over the sizes. */
function overSizes(cells: readonly CellReport[]): string {
  const [{ name, title, unit }] = cells;
  const names = [...new Set(cells.flatMap(({ sides }) => sides.map(({ side }) => side)))];
  const lines = names.map((wanted) => {
    const of = (cell: CellReport): SideReport | undefined => cell.sides.find(({ side }) => side === wanted);
    const measured = cells.filter((cell) => (of(cell)?.median ?? null) !== null);
    const points = measured.map((cell) => [cell.size, of(cell)?.median ?? 0] as const);
    const [first] = cells.map(of).filter((side) => side !== undefined);
    return line(first, points);
  });
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value));
  if (values.length === 0) return '';
  const x = valueAxis(
    'size',
    cells.map(({ size }) => size),
    sizeName,
  );
  return chart(`${name}: ${title}`, x, logAxis(unit, values, figure), lines);
}

/** The percentiles of one cell. */
function percentiles(cell: CellReport): string {
  const lines = cell.sides
    .filter((side) => side.percentiles !== null)
    .map((side) => line(side, side.percentiles?.curve ?? []));
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value)).filter((value) => value > 0);
  if (values.length === 0) return '';
  const title = `${cell.name} of ${sizeName(cell.size)}: percentiles`;
  return chart(title, percentileAxis('percentile'), logAxis(cell.unit, values, figure), lines);
}

function tableOf(caption: string, headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join('')}</tr>`;
  const body = rows.map((cells) => row(cells, 'td')).join('\n');
  return `<table><caption>${escape(caption)}</caption>\n${row(headings, 'th')}\n${body}</table>`;
}

const HEADINGS = [
  '',
  'median',
  'min',
  'max',
  'to C',
  'p50',
  'p90',
  'p99',
  'p99.9',
  'max of all',
  'CPU s',
  '',
];

function cellTable(cell: CellReport): string {
  const rows = cell.sides.map((side) => {
    const { percentiles: times } = side;
    const points = [times?.p50, times?.p90, times?.p99, times?.p999, times?.max];
    return [
      side.side,
      ...[side.median, side.min, side.max].map(figure),
      ratio(side.ratioToC),
      ...points.map((value) => figure(value ?? null)),
      figure(side.cpu),
      side.missing ?? side.error?.split('\n', 1)[0] ?? side.note,
    ];
  });
  return tableOf(`${cell.name} of ${sizeName(cell.size)}, ${cell.unit}`, HEADINGS, rows);
}

function key(cells: readonly CellReport[]): string {
  const names = [...new Set(cells.flatMap(({ sides }) => sides.map(({ side }) => side)))];
  const one = (name: string): string =>
    `<span><b style="border-color:${colourOf(name)}"></b>${escape(name)}</span>`;
  return `<p class="key">${names.map(one).join('')}</p>`;
}

function section(provider: string, cells: readonly CellReport[]): string {
  const workloads = [...new Set(cells.map(({ name }) => name))];
  const charts = workloads.map((workload) => overSizes(cells.filter(({ name }) => name === workload)));
  return [
    `<h2>${escape(provider)}</h2>`,
    key(cells),
    `<div class="charts">${[...charts, ...cells.map(percentiles)].filter((text) => text !== '').join('\n')}</div>`,
    `<details><summary>All figures of ${escape(provider)}</summary>`,
    ...cells.map(cellTable),
    '</details>',
  ].join('\n');
}

function costs(all: readonly CostReport[]): string {
  const names = [...new Set(all.map(({ name }) => name))];
  const tables = names.map((name) => {
    const rows = all.filter((cost) => cost.name === name);
    const columns = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))];
    const lines = rows.map(({ provider, of, figures, error }) => [
      `${provider}, ${of}`,
      ...columns.map((column) => figure(figures[column] ?? null)),
      error ?? '',
    ]);
    return tableOf(name, ['', ...columns, ''], lines);
  });
  return names.length === 0 ? '' : ['<h2>Costs</h2>', ...tables].join('\n');
}

export function formatHtml(report: MatrixReport): string {
  const { cells, skipped, machine } = report;
  const providers = [...new Set(cells.map(({ provider }) => provider))];
  const left = skipped.map(({ provider, reason }) => `<li>${escape(`${provider}: ${reason}`)}</li>`);
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
    `<title>libfabric for Node.js: benchmarks</title><style>${STYLE}</style></head><body>`,
    '<h1>libfabric for Node.js: benchmarks</h1>',
    `<p class="machine">${escape(machineLine(report))}; ${escape(machine.date)}</p>`,
    '<p>Figures are medians over the runs; all sides of a cell took turns. Dashed: what it is compared with.</p>',
    ...providers.map((provider) =>
      section(
        provider,
        cells.filter((cell) => cell.provider === provider),
      ),
    ),
    costs(report.costs),
    left.length === 0 ? '' : `<h2>Not measured</h2><ul>${left.join('')}</ul>`,
    '</body></html>\n',
  ].join('\n');
}
