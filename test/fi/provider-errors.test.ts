/** What providers' own error numbers mean: the table, and the errors that carry it. */
import { describe, expect, test } from 'vitest';
import { CompletionError, explainProviderError } from 'libfabric/fi';

/** Every number that libfabric 1.17 to 2.6 have for efa, in prov/efa/src/efa_errno.h. */
const numbers = [
  ...Array.from({ length: 15 }, (_, index) => index + 1),
  18,
  ...Array.from({ length: 32 }, (_, index) => 4096 + index),
];

const failure = {
  errno: 107,
  providerMessage: 'Bad queue pair number',
  operation: 'send',
  peer: 'libfabric:efa:there',
  length: 16,
};

describe('errors of efa', () => {
  test.each(numbers)('%i has a cause and a remedy', (number) => {
    const meaning = explainProviderError('efa', number);
    expect(meaning?.number).toBe(number);
    expect(meaning?.name).toMatch(/^[A-Z_]+$/);
    expect(meaning?.cause).toMatch(/\S \S/);
    expect(meaning?.remedy).toMatch(/\S/);
  });

  test('each number has a name of its own', () => {
    const names = numbers.map((number) => explainProviderError('efa', number)?.name);
    expect(new Set(names).size).toBe(numbers.length);
  });

  test('a CompletionError carries what the table says', () => {
    const { name, cause, remedy } = explainProviderError('efa', 9)!;
    const error = new CompletionError({ ...failure, provider: 'efa', providerErrno: 9 });
    expect(error).toMatchObject({
      code: 'FI_ENOTCONN',
      providerErrno: 9,
      providerErrorName: name,
      cause,
      remedy,
    });
    expect(error.message).toContain(failure.providerMessage);
    expect(error.message).toContain(cause);
    expect(error.message).toContain(remedy);
  });
});

describe('errors of which nothing is known', () => {
  test.each([
    ['another provider', 'tcp', 9],
    ['a number that efa does not have', 'efa', 16],
    ['no provider', undefined, 9],
  ])('%s: the provider speaks alone', (_, provider, providerErrno) => {
    expect(explainProviderError(provider ?? '', providerErrno)).toBeUndefined();
    const error = new CompletionError({ ...failure, provider, providerErrno });
    expect(error).toMatchObject({ providerErrorName: undefined, cause: undefined, remedy: undefined });
    expect(error.message).toContain(failure.providerMessage);
  });
});
