/**
 * Which providers a run has really tested.
 *
 * Tests report through test/helpers/providers.ts, one JSON line per provider and file, into the file that
 * LIBFABRIC_TEST_LEDGER names: `{ provider, ran: boolean, reason? }`. At the end every skip is printed with its
 * reason, and the run fails if a provider that every machine has was skipped whole: a suite that skips everything
 * must not look like one that passes.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

interface Entry {
  provider: string;
  ran: boolean;
  reason?: string;
  file?: string;
}

/** The names a provider goes by: libfabric 1.18 renamed `net` to `tcp`. */
const mandatory: readonly (readonly string[])[] = [['shm'], ['net', 'tcp'], ['tcp;ofi_rxm'], ['sockets']];

/** What a run that was started for them must have tested, by LIBFABRIC_TEST_REQUIRED. */
function required(): readonly (readonly string[])[] {
  const names = process.env.LIBFABRIC_TEST_REQUIRED;
  return names === undefined ? [] : names.split(',').map((name) => [name]);
}

/** Narrowed to some files or names, a run cannot be asked for every provider. */
function isWholeRun(project: TestProject): boolean {
  const { filenamePattern } = project.vitest as { filenamePattern?: readonly string[] };
  const narrowed = project.globalConfig.testNamePattern !== undefined || (filenamePattern?.length ?? 0) > 0;
  const { LIBFABRIC_TEST_PARTIAL: partial, LIBFABRIC_TEST_PROVIDERS: providers } = process.env;
  return !narrowed && partial === undefined && providers === undefined;
}

export function summarize(
  entries: readonly Entry[],
  wanted: readonly (readonly string[])[] = mandatory,
): { lines: string[]; missing: string[] } {
  const skips = new Map<string, number>();
  for (const { provider, ran, reason } of entries) {
    if (ran) continue;
    const line = `${provider}: ${reason ?? 'no reason given'}`;
    skips.set(line, (skips.get(line) ?? 0) + 1);
  }
  const ran = new Set(entries.filter((entry) => entry.ran).map((entry) => entry.provider));
  return {
    lines: [
      `providers tested: ${[...ran].sort().join(', ') || 'none'}`,
      ...[...skips].sort().map(([line, times]) => `skipped ${String(times)} times: ${line}`),
    ],
    missing: wanted
      .filter((names) => !names.some((name) => ran.has(name)))
      .map((names) => names.join(' or ')),
  };
}

export default function setup(project: TestProject): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'libfabric-test-'));
  const ledger = join(folder, 'ledger.jsonl');
  writeFileSync(ledger, '');
  process.env.LIBFABRIC_TEST_LEDGER = ledger;

  return () => {
    const entries = readFileSync(ledger, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Entry);
    rmSync(folder, { recursive: true });
    const { lines, missing } = summarize(
      entries,
      isWholeRun(project) ? [...mandatory, ...required()] : required(),
    );
    for (const line of lines) console.log(line);
    if (missing.length > 0) {
      console.error(`Providers that have to be there were not tested at all: ${missing.join('; ')}`);
      process.exitCode = 1;
    }
  };
}
