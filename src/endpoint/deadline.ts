// Signals and timeouts of operations: one watch each, given up when the operation is settled.
import { checkInteger, deadlineError, typeError } from '../fi/errors.js';
import type { Deadline } from './types.js';

/** An error whose operation may still hold memory: until `released` resolves, the buffer belongs to the NIC. */
export interface Unreleased {
  /** Resolves when the provider has let go of the buffer. */
  released: Promise<void>;
}

/** Adds `released` to the reason of an abort. A reason that takes no property is wrapped. */
export function withReleased(reason: unknown, released: Promise<void>): unknown {
  const target: unknown =
    typeof reason === 'object' && reason !== null && Object.isExtensible(reason)
      ? reason
      : new DOMException(String(reason), 'AbortError');
  // A signal's one reason may reach several operations: each waits for all that were given before.
  const earlier = (target as Partial<Unreleased>).released;
  const all = earlier === undefined ? released : Promise.all([earlier, released]).then(() => undefined);
  Object.defineProperty(target, 'released', {
    value: all,
    configurable: true,
    enumerable: false,
    writable: true,
  });
  return target;
}

/** Checks the options before anything is done. Throws the reason of a signal that is aborted already. */
export function checkDeadline(options: Deadline): void {
  const { signal, timeoutMs } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw typeError('options.signal', signal, 'an AbortSignal');
  if (timeoutMs !== undefined) checkInteger('options.timeoutMs', timeoutMs, 0, 0x7fffffff);
  if (signal?.aborted === true) throw withReleased(signal.reason, Promise.resolve());
}

/**
 * Calls `expire` with the reason when the signal aborts or the time is over, unless the returned function was called
 * before. What it says must have been checked.
 */
export function watchDeadline(
  options: Deadline,
  what: string,
  expire: (reason: unknown) => void,
): () => void {
  const { signal, timeoutMs } = options;
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    stop();
    expire(signal?.reason);
  };
  const stop = (): void => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  if (timeoutMs !== undefined) {
    timer = setTimeout(() => {
      stop();
      expire(deadlineError(`${what} did not finish within ${String(timeoutMs)} ms`));
    }, timeoutMs);
    // What keeps the process alive is the endpoint, unless it was told not to (unref()).
    timer.unref();
  }
  return stop;
}

export function hasDeadline(options: Deadline | undefined): options is Deadline {
  return options !== undefined && (options.signal !== undefined || options.timeoutMs !== undefined);
}
