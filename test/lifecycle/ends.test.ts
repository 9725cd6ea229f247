/**
 * A process ends as it was told to, with nothing of ours on stderr, whatever its endpoint is doing. One child process
 * per case: every case on one provider for each way that the addon waits; of the others each has a third of the cases,
 * in which every stage and every end is, and all three together have every case.
 */
import { describe, expect, test } from 'vitest';
import { describeOnProviders, openOptions } from '../helpers/providers.js';
import { CHILD_TEST_MS, runChild, sanitizer } from './child.js';
import type { Case, End } from './programs/ends.js';
import type { Stage } from './programs/stages.js';

const stages: readonly Stage[] = ['created', 'enabled', 'receiving', 'sending', 'writing', 'closing'];

interface Expected {
  end: End;
  signal?: NodeJS.Signals;
  code: number | null;
  /** Lines after those that every case prints. */
  stdout?: string;
  /** Whether Node itself says on stderr what went wrong. */
  throws?: boolean;
}

const ends: readonly Expected[] = [
  { end: 'natural', code: 0, stdout: 'ready\n' },
  { end: 'exit', code: 7, stdout: 'ready\n' },
  { end: 'exception', code: 1, stdout: 'ready\n', throws: true },
  { end: 'rejection', code: 1, stdout: 'ready\n', throws: true },
  { end: 'signal', signal: 'SIGTERM', code: null, stdout: 'ready\n' },
  { end: 'signal', signal: 'SIGINT', code: null, stdout: 'ready\n' },
  { end: 'worker-natural', code: 0, stdout: 'worker 0\n' },
  { end: 'worker-exit', code: 0, stdout: 'worker 7\n' },
  { end: 'worker-exception', code: 0, stdout: 'error as asked for\nworker 1\n' },
  { end: 'worker-terminate', code: 0, stdout: 'worker 1\n' },
  { end: 'exit-with-worker', code: 7, stdout: '' },
];

/** Those that have every case: shm is looked at in pauses, net and tcp sleep. Under a sanitizer a child takes seconds. */
const thorough = sanitizer === undefined ? ['shm', 'net', 'tcp'] : ['shm'];
const sampled = ['tcp;ofi_rxm', 'sockets', 'udp;ofi_rxd'];

/** The ends that a provider is given at a stage. */
function endsOf(provider: string, stage: number): readonly Expected[] {
  if (thorough.includes(provider)) return ends;
  const turn = Math.max(0, sampled.indexOf(provider));
  return ends.filter((_, end) => (stage + end) % sampled.length === turn);
}

/** What only sockets has, at those ends where the addon has something to do. */
const contexts: readonly Stage[] = ['scalable', 'shared', 'waiting'];
const cleaned: readonly End[] = [
  ...(['natural', 'exit', 'exception'] as const),
  ...(['worker-natural', 'worker-exit', 'worker-terminate', 'exit-with-worker'] as const),
];

async function runCase(asked: Case, { signal, code, stdout, throws = false }: Expected): Promise<void> {
  const child = await runChild('ends', asked, {
    onReady: (process) => {
      if (signal !== undefined) process.kill(signal);
    },
  });
  expect({
    code: child.code,
    signal: child.signal,
    stdout: child.stdout,
    stderr: child.stderr,
  }).toEqual({
    code,
    signal: signal ?? null,
    stdout,
    stderr: throws ? (expect.stringContaining('as asked for') as string) : '',
  });
  expect(child.stderr).not.toMatch(/fabric/i);
  // A signal leaves no time to clean up; whatever else ends a process does.
  if (signal === undefined) expect(child.files).toEqual([]);
}

describeOnProviders('the end of a process', { timeoutMs: CHILD_TEST_MS }, (provider) => {
  describe.each(stages)('while an endpoint is %s', (stage) => {
    test.concurrent.each(endsOf(provider.name, stages.indexOf(stage)))('by $end $signal', (expected) =>
      runCase({ place: openOptions(provider), stage, end: expected.end }, expected),
    );
  });
});

describeOnProviders(
  'the end of a process',
  { providers: ['sockets'], timeoutMs: CHILD_TEST_MS },
  (provider) => {
    describe.each(contexts)('with what is %s', (stage) => {
      test.concurrent.each(ends.filter(({ end }) => cleaned.includes(end)))('by $end', (expected) =>
        runCase({ place: openOptions(provider), stage, end: expected.end }, expected),
      );
    });
  },
);
