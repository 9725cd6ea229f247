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

/** Who waits for a signal: one listener serves them all, since Node warns of a leak where a signal has more than ten. */
class SignalWatch {
  static readonly #all = new WeakMap<AbortSignal, SignalWatch>();
  readonly #signal: AbortSignal;
  readonly #callbacks = new Set<() => void>();
  readonly #tell = (): void => {
    SignalWatch.#all.delete(this.#signal);
    for (const callback of this.#callbacks) callback();
  };

  private constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', this.#tell, { once: true });
    SignalWatch.#all.set(signal, this);
  }

  static of(signal: AbortSignal): SignalWatch {
    return SignalWatch.#all.get(signal) ?? new SignalWatch(signal);
  }

  add(callback: () => void): void {
    this.#callbacks.add(callback);
  }

  remove(callback: () => void): void {
    if (!this.#callbacks.delete(callback) || this.#callbacks.size !== 0) return;
    SignalWatch.#all.delete(this.#signal);
    this.#signal.removeEventListener('abort', this.#tell);
  }
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
  const watch = signal === undefined ? undefined : SignalWatch.of(signal);
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    stop();
    expire(signal?.reason);
  };
  const stop = (): void => {
    clearTimeout(timer);
    watch?.remove(onAbort);
  };
  watch?.add(onAbort);
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
