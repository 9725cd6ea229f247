/** An endpoint that a program lost without closing it: closed by the garbage collector's leave, and told of. */
import { expect, test } from 'vitest';
import { describeOnProviders, openOptions } from '../helpers/providers.js';
import { CHILD_TEST_MS, runChild } from './child.js';
import type { Case } from './programs/ends.js';
import type { Stage } from './programs/stages.js';

const everything = 'AddressVector, CompletionQueue, Domain, Endpoint, EventQueue, Fabric';

/** How far the endpoint had come; nobody waits for anything, else it would not be collected. */
const stages: readonly [Stage, string][] = [
  ['created', everything],
  ['enabled', everything],
  ['receiving', everything],
  ['sending', everything],
];

describeOnProviders('a forgotten endpoint', { timeoutMs: CHILD_TEST_MS }, (provider) => {
  const forget = (stage: Stage): ReturnType<typeof runChild> => {
    const asked: Case = { place: openOptions(provider), stage, end: 'garbage' };
    return runChild('ends', asked, { nodeFlags: ['--expose-gc'] });
  };

  test.concurrent.each(stages)(
    'that was %s is closed, told of, and lets the process end',
    async (stage, names) => {
      const child = await forget(stage);
      expect({ code: child.code, signal: child.signal, files: child.files }).toEqual({
        code: 0,
        signal: null,
        files: [],
      });
      // One warning, which may come in parts where the collector took its time, and Node's hint.
      const warnings = child.stderr.trimEnd().split('\n');
      const told = warnings.filter((line) => !line.startsWith('(Use `node --trace-warnings'));
      const named = told.flatMap((line) => {
        const match =
          /^\(node:\d+\) \[FABRIC_FORGOTTEN\] FabricWarning: libfabric objects were .*\(\): ([\w, ]+); /.exec(
            line,
          );
        return match?.[1].split(', ') ?? [line];
      });
      expect(named.sort().join(', ')).toBe(names);
    },
  );

  test.concurrent('whose close() is under way is no forgotten one', async () => {
    const child = await forget('closing');
    expect({ code: child.code, signal: child.signal, stderr: child.stderr }).toEqual({
      code: 0,
      signal: null,
      stderr: '',
    });
  });
});
