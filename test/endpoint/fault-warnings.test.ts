/** Warnings of faults: no flood of the same few, and none of them silenced for ever. */
import { expect, onTestFinished, test, vi } from 'vitest';
import { FaultWarnings } from '../../src/endpoint/fault-warnings.js';

test('the same words are said once in a while, however they take turns', () => {
  vi.useFakeTimers();
  const emit = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  onTestFinished(() => {
    vi.useRealTimers();
    emit.mockRestore();
  });
  const warnings = new FaultWarnings();
  const said = (): unknown[] => emit.mock.calls.splice(0).map(([text]) => text);
  for (const text of ['a', 'b', 'a', 'b', 'a']) warnings.say(text);
  expect(said()).toEqual(['a', 'b']);
  // It may have happened again.
  vi.advanceTimersByTime(1000);
  for (const text of ['b', 'a', 'b']) warnings.say(text);
  expect(said()).toEqual(['b', 'a']);
});
