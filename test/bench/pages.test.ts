/** What the benchmark makes of its figures: a page and a Markdown file. */
import { describe, expect, test } from 'vitest';
import { formatHtml } from '../../bench/matrix/html.js';
import { formatMarkdown } from '../../bench/matrix/markdown.js';
import type { CellReport, MatrixReport, SideReport } from '../../bench/matrix/report.js';
import { formatMatrix } from '../../bench/matrix/table.js';

function side(name: string, median: number | null, ratioToC: number | null): SideReport {
  const runs = median === null ? [] : [median];
  const curve = [0, 50, 99, 100].map((percentile): [number, number] => [
    percentile,
    (median ?? 1) + percentile,
  ]);
  return {
    ...{ side: name, kind: name === 'C' ? 'c' : 'ours', median, min: median, max: median, runs, ratioToC },
    percentiles:
      median === null ? null : { p50: median, p90: 3, p99: 4, p999: 5, max: 6, mean: 2, count: 9, curve },
    ...{ cpu: 0.25, verified: 4, note: '', error: null },
    missing: median === null ? 'it is <not> installed' : null,
  };
}

function cell(size: number): CellReport {
  return {
    ...{ name: 'ping-pong', title: 'half of a round trip', provider: 'shm', size, unit: 'µs' },
    ...{ iterations: 9, window: 1 },
    sides: [side('C', 0.5, 1), side('awaited', 0.75, 1.5), side('ws', null, null)],
  };
}

const report: MatrixReport = {
  machine: {
    ...{ date: '2026-01-02T03:04:05Z', cpu: 'a <fast> one', cores: 2, memoryGiB: 8, system: 'Linux 6 x64' },
    ...{ pinning: 'pinned', distance: 'as far as ever', node: '20.19.0', libfabric: '1.17', loadBefore: 0.1 },
  },
  ...{ runs: 5, quick: false, cells: [cell(8), cell(65_536)] },
  skipped: [{ provider: 'efa', reason: 'no device' }],
  costs: [
    { name: 'idle', provider: 'tcp', of: "progress: 'auto'", figures: { coreInPercent: 0.123 }, error: null },
  ],
};

describe('the page', () => {
  const page = formatHtml(report);

  test('needs nothing else', () => {
    expect(page).toMatch(/^<!doctype html>/);
    expect(page).not.toMatch(/<script|<link|<img|src=|href=|url\(|@import/);
  });

  test('has a chart over the sizes, and one of percentiles for each cell', () => {
    const titles = [...page.matchAll(/<svg [^>]*aria-label="([^"]*)"/g)].map(([, title]) => title);
    expect(titles).toEqual([
      'ping-pong: half of a round trip',
      'ping-pong of 8 B: percentiles',
      'ping-pong of 64 KiB: percentiles',
    ]);
    const places = [...page.matchAll(/(?:points|cx|cy)="([^"]*)"/g)].flatMap(([, text]) =>
      text.split(/[ ,]/),
    );
    expect(places.filter((place) => place !== '' && !Number.isFinite(Number(place)))).toEqual([]);
  });

  test('takes nothing for markup that is none', () => {
    expect(page).toContain('a &#60;fast&#62; one');
    expect(page).toContain('it is &#60;not&#62; installed');
    expect(page).not.toContain('<fast>');
  });
});

test('the Markdown has the machine, the figures with ratios, and what was left out', () => {
  const text = formatMarkdown(report);
  expect(text).toContain('| processor    | a <fast> one, 2 cores |');
  expect(text).toMatch(/^\| 64 KiB +\| 0\.500 +\| +0\.750, 1\.5 × \| +– \|$/m);
  expect(text).toContain('- efa: no device');
  expect(text).toContain('coreInPercent');
});

test('the table says why a figure is absent', () => {
  const text = formatMatrix(report);
  expect(text).toMatch(/^ +awaited +0\.750 +0\.750 +0\.750 +1\.50 × /m);
  expect(text).toMatch(/^ +ws +– .*it is <not> installed$/m);
  expect(text).toContain('skipped: efa: no device');
});
