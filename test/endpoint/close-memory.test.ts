/** The step of close() that unregisters memory, where it fails or hangs. No provider here does, so with stand-ins. */
import { expect, onTestFinished, test } from 'vitest';
import { Closing } from '../../src/endpoint/closing.js';

type Parts = ConstructorParameters<typeof Closing>[0];

/** What was done, in order; the memory's steps answer as given. */
function closingWith(
  regions: () => Promise<unknown[]>,
  slabs: () => Promise<unknown[]>,
): { closing: Closing; done: string[] } {
  const done: string[] = [];
  const object = (name: string): object => ({
    close: () => {
      done.push(`${name} closed`);
      return Promise.resolve();
    },
    abandon: () => done.push(`${name} left`),
  });
  const memory = (name: string, close: () => Promise<unknown[]>): object => ({
    close,
    abandon: () => done.push(`${name} left`),
  });
  const objects = ['endpoint', 'queue', 'addresses', 'domain', 'events', 'fabric'];
  const opened = {
    ...Object.fromEntries(objects.map((name) => [name, object(name)])),
    provider: { readsBeforeClose: 'never', sharedMemoryFiles: false },
  };
  const nothing = (): void => undefined;
  const parts = {
    core: {
      engine: { ref: nothing, stop: nothing },
      memory: memory('slabs', slabs),
      operations: { inFlight: () => [] },
      ...{ opened, state: 'open' },
    },
    sender: { queue: { drain: () => Promise.resolve(), rejectAll: nothing } },
    receiver: { rejectAll: nothing },
    peers: { closeAll: nothing },
    regions: memory('regions', regions),
    onClosed: () => done.push('told'),
  };
  return { closing: new Closing(parts as unknown as Parts), done };
}

function warnings(): string[] {
  const heard: string[] = [];
  const note = ({ message }: Error): void => void heard.push(message);
  process.on('warning', note);
  onTestFinished(() => void process.off('warning', note));
  return heard;
}

/** Warnings are told in the turn after. */
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const fine = (): Promise<unknown[]> => Promise.resolve([]);
const left = ['queue', 'addresses', 'domain', 'events', 'fabric'].map((name) => `${name} left`);

test('a bound of 0 is for the sends: memory gets the time that it needs', async () => {
  const slow = (): Promise<unknown[]> =>
    new Promise((resolve) => {
      setImmediate(() => setTimeout(resolve, 5, []));
    });
  const { closing, done } = closingWith(slow, slow);
  await closing.close(0);
  expect(done).toEqual([
    ...['endpoint', 'queue', 'addresses', 'domain', 'events', 'fabric'].map((name) => `${name} closed`),
    'told',
  ]);
});

test('what hangs is told, and left behind with all that it needs', async () => {
  const heard = warnings();
  const { closing, done } = closingWith(fine, () => new Promise(() => undefined));
  await closing.close(0);
  expect(done).toEqual(['endpoint closed', 'regions left', 'slabs left', ...left, 'told']);
  await nextTurn();
  expect(heard).toEqual(['unregistering memory did not end within 100 ms; it is left to itself']);
});

test('what fails is told, with how often, once all have answered', async () => {
  const heard = warnings();
  const { closing, done } = closingWith(
    () => Promise.resolve([new Error('still in use'), new Error('that too')]),
    async () => {
      await nextTurn();
      done.push('slabs answered');
      return [];
    },
  );
  await closing.close(0);
  expect(done).toEqual(['endpoint closed', 'slabs answered', 'regions left', 'slabs left', ...left, 'told']);
  await nextTurn();
  expect(heard).toEqual(['unregistering memory failed 2 times: Error: still in use']);
});
