/** The benchmark's matrix: what its JSON looks like, and that it checks what arrives. Nothing about how fast anything is. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { CellReport, MatrixReport } from '../../bench/matrix/report.js';
import { bench } from '../../src/cli/bench.js';
import { type Ended, ProgramRun } from '../helpers/program.js';

const program = fileURLToPath(new URL('../../out/bench/run.js', import.meta.url));

const folders = (process.env.PATH ?? '').split(delimiter);
const hasCompiler = folders.some((folder) => folder !== '' && existsSync(join(folder, 'cc')));

/** Runs the matrix once, quickly, with what is installed. */
async function run(...args: string[]): Promise<Ended> {
  const line = [program, '--matrix', '--quick', '--runs', '1', '--no-install', ...args] as const;
  return await new ProgramRun([process.execPath, ...line]).ended;
}

async function cellsOf(...args: string[]): Promise<CellReport[]> {
  const { code, stdout, stderr } = await run('--json', '--provider', 'shm', '--size', '512', ...args);
  expect(code, stderr).toBe(0);
  const report = JSON.parse(stdout) as MatrixReport;
  expect(report).toMatchObject({
    ...{ runs: 1, quick: true, skipped: [] },
    machine: { node: process.versions.node, cores: expect.any(Number), pinning: expect.any(String) },
  });
  return report.cells;
}

function expectMeasured(cell: CellReport, sides: readonly string[]): void {
  expect(cell.sides.map(({ side }) => side)).toEqual(sides);
  for (const side of cell.sides) {
    expect(side).toMatchObject({ missing: null, error: null });
    expect(side.runs, side.side).toEqual([side.median]);
    expect([side.min, side.max]).toEqual([side.median, side.median]);
    expect(side.median, side.side).toBeGreaterThan(0);
    // Of every side each run compares the bytes of at least one message.
    expect(side.verified, side.side).toBeGreaterThan(0);
    if (cell.unit !== 'µs') continue;
    expect(side.percentiles?.count, side.side).toBe(cell.iterations);
    const curve = (side.percentiles?.curve ?? []).map(([, time]) => time);
    expect(curve, side.side).toEqual([...curve].sort((left, right) => left - right));
  }
}

describe('the matrix', () => {
  test.each([
    ['through this package', ['fi', 'awaited', 'iterator', 'batched']],
    ['through what Node has', ['node:net', 'MessagePort']],
  ])('measures messages back and forth %s', async (_, sides) => {
    const cells = await cellsOf('--workload', 'ping-pong', ...sides.flatMap((side) => ['--side', side]));
    expect(cells).toHaveLength(1);
    expect(cells[0]).toMatchObject({ name: 'ping-pong', provider: 'shm', size: 512, unit: 'µs' });
    expectMeasured(cells[0], sides);
  });

  test('measures streams and one-sided operations', async () => {
    const workloads = ['bandwidth', 'write', 'read-bandwidth'];
    const cells = await cellsOf(
      ...workloads.flatMap((workload) => ['--workload', workload]),
      ...['--side', 'fi', '--side', 'batched'],
    );
    expect(cells.map(({ name }) => name)).toEqual(workloads);
    // Batches of one operation at a time there are none.
    for (const cell of cells) expectMeasured(cell, cell.name === 'write' ? ['fi'] : ['fi', 'batched']);
  });

  test.skipIf(!hasCompiler)(
    `compares with the C loop${hasCompiler ? '' : ' (skipped: there is no C compiler)'}`,
    async () => {
      const cells = await cellsOf(
        ...['--workload', 'ping-pong', '--workload', 'read', '--side', 'C', '--side', 'fi'],
      );
      for (const cell of cells) {
        expectMeasured(cell, ['C', 'fi']);
        const [c, fi] = cell.sides;
        expect(c.ratioToC).toBe(1);
        expect(fi.ratioToC).toBeCloseTo((fi.median ?? 0) / (c.median ?? 1), 3);
      }
    },
  );

  test.each([
    [['--provider', 'smoke'], "there is no provider 'smoke'"],
    [['--workload', 'nothing'], "there is no workload 'nothing'"],
    [['--side', 'Fortran'], "there is no side 'Fortran'"],
    [['--size', '0'], '--size 0 is not a number of bytes from 1 to 4194304'],
    [['--runs', 'many'], '--runs many is not a number of runs'],
  ])('refuses %j', async (args, reason) => {
    const { code, stdout, stderr } = await run(...args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(reason);
  });
});

test('costs are figures of each case', async () => {
  const line = [program, '--costs', '--quick', '--runs', '1', '--no-install', '--json', '--provider', 'shm'];
  const { code, stdout, stderr } = await new ProgramRun([process.execPath, ...line]).ended;
  expect(code, stderr).toBe(0);
  const { cells, costs } = JSON.parse(stdout) as MatrixReport;
  expect(cells).toEqual([]);
  const names = ['idle', 'idle', 'idle', 'loop-delay', 'memory', 'garbage-collection'];
  expect(costs.map(({ name }) => name)).toEqual(names);
  for (const { figures, error } of costs) {
    expect(error).toBeNull();
    expect(Object.keys(figures)).not.toEqual([]);
    for (const value of Object.values(figures)) expect(value).toBeGreaterThanOrEqual(0);
  }
});

test('libfabric bench says where the benchmarks are, where they are not', async () => {
  expect(await bench([], '/nonexistent')).toBe(2);
});
