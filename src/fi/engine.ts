// The progress engine: sees to it that a CompletionQueue is always read, by the loop while it is awake, by a thread of
// its own while JavaScript sleeps or computes. What it does natively is in native/progress.h.
import { CompletionQueue } from './completion-queue.js';
import { check, checkInteger, rangeError, typeError } from './errors.js';
import { EventQueue } from './event-queue.js';
import { addon } from './library.js';
import { NO_HANDLE } from './object.js';

/** Who reads the queue: both (auto), JavaScript's thread only (inline), the engine's thread only (thread). */
export type ProgressMode = 'auto' | 'inline' | 'thread';

/** Options of Engine.start(). */
export interface EngineOptions {
  /** Default 'auto'. */
  mode?: ProgressMode;
  /**
   * How a sleeper is woken: 'fd' by the queue's wait fd, 'sread' by fi_cq_sread on the engine's thread, 'backoff' by
   * looking again after growing pauses. Default: 'fd' where the queue has one, else 'backoff'.
   */
  sleepBy?: 'fd' | 'sread' | 'backoff';
  /** How long one call may spin for a completion; default 20. 0: never, and the loop sleeps as soon as it can. */
  spinMicroseconds?: number;
  /** The longest pause of 'backoff', which is then the latency of a first message after silence; default 1000. */
  maxSleepMicroseconds?: number;
  /** Looked at now and then for errors that belong to no operation; what else it has is left to the program. */
  eventQueue?: EventQueue;
  /** Called on JavaScript's thread when the queue may have something to read. */
  onReadable: () => void;
}

const modes: readonly ProgressMode[] = ['auto', 'inline', 'thread'];
const sleeps = ['fd', 'sread', 'backoff'] as const;

// Engines that wait for something are held; one that nobody waits for may be collected with its endpoint.
const all = new Map<number, WeakRef<Engine>>();
const held = new Set<Engine>();
let wakeIsSet = false;

// How many engines keep the process alive. A collected engine no longer does.
interface Liveness {
  referenced: boolean;
}
let references = 0;
const collected = new FinalizationRegistry<Liveness>((liveness) => {
  setReferenced(liveness, false);
});
function setReferenced(liveness: Liveness, wanted: boolean): void {
  if (liveness.referenced === wanted) return;
  liveness.referenced = wanted;
  references += wanted ? 1 : -1;
  addon().keepAlive(references);
}

function wake(): void {
  for (const [key, reference] of all) {
    const engine = reference.deref();
    if (engine === undefined) all.delete(key);
    else engine.notify();
  }
}

/** A running progress engine of one CompletionQueue. */
export class Engine {
  /** The queue that it reads. */
  readonly queue: CompletionQueue;
  /** Who reads. */
  readonly mode: ProgressMode;
  /** How a sleeper is woken. */
  readonly sleepBy: 'fd' | 'sread' | 'backoff';
  readonly #onReadable: () => void;
  readonly #key: number;
  /** How long one call may spin for a completion. */
  readonly spinMicroseconds: number;
  readonly #liveness: Liveness = { referenced: false };
  #running = true;

  private constructor(queue: CompletionQueue, options: Required<Omit<EngineOptions, 'eventQueue'>>) {
    this.queue = queue;
    this.mode = options.mode;
    this.sleepBy = options.sleepBy;
    this.#onReadable = options.onReadable;
    this.spinMicroseconds = options.spinMicroseconds;
    this.#key = queue.handle;
    all.set(this.#key, new WeakRef(this));
    collected.register(this, this.#liveness, this);
    queue.engine = this;
  }

  /**
   * Starts to read a queue. From now on use poll() instead of the queue's read().
   *
   * @throws FabricError ERR_FABRIC_BUSY where the queue has an engine already.
   */
  static start(queue: CompletionQueue, options: EngineOptions): Engine {
    if (!(queue instanceof CompletionQueue)) throw typeError('queue', queue, 'a CompletionQueue');
    if (typeof options.onReadable !== 'function')
      throw typeError('options.onReadable', options.onReadable, 'a function');
    if (options.eventQueue !== undefined && !(options.eventQueue instanceof EventQueue))
      throw typeError('options.eventQueue', options.eventQueue, 'an EventQueue');
    const mode = options.mode ?? 'auto';
    if (!modes.includes(mode)) throw rangeError('mode', mode, `one of ${modes.join(', ')}`);
    const spinMicroseconds = checkInteger('spinMicroseconds', options.spinMicroseconds ?? 20, 0, 100_000);
    const maxSleepMicroseconds = checkInteger(
      'maxSleepMicroseconds',
      options.maxSleepMicroseconds ?? 1000,
      10,
      1_000_000,
    );
    const sleepBy = options.sleepBy ?? (queue.waitFd >= 0 ? 'fd' : 'backoff');
    if (!sleeps.includes(sleepBy)) throw rangeError('sleepBy', sleepBy, `one of ${sleeps.join(', ')}`);
    if (!wakeIsSet) {
      wakeIsSet = true;
      addon().setWake(wake);
    }
    const status = addon().startEngine(
      queue.handle,
      options.eventQueue?.handle ?? NO_HANDLE,
      modes.indexOf(mode),
      sleeps.indexOf(sleepBy),
      spinMicroseconds,
      maxSleepMicroseconds,
    );
    check(status, 'startEngine', 'the queue has an engine already');
    const { onReadable } = options;
    return new Engine(queue, { mode, sleepBy, spinMicroseconds, maxSleepMicroseconds, onReadable });
  }

  /** @internal */
  notify(): void {
    if (this.#running) this.#onReadable();
  }

  /**
   * Reads the queue now (fi_cq_readfrom(3)) into its `completions`.
   *
   * @param spin - Whether to look again for spinMicroseconds while there is nothing, within the budget of the loop's
   *   turn (500 µs and 512 completions over all engines, so that timers and servers of the process keep running).
   * @returns How many completions there are.
   */
  poll(spin = false): number {
    return this.#running ? this.queue.readWithinBudget(spin ? this.spinMicroseconds : 0) : 0;
  }

  /** @internal Keeps the engine, and who listens to it, from being collected while somebody waits. */
  hold(wanted: boolean): void {
    if (wanted) held.add(this);
    else held.delete(this);
  }

  /** While it runs, the engine keeps the process alive, as a listening socket does. Off at start. */
  ref(): this {
    if (this.#running) setReferenced(this.#liveness, true);
    return this;
  }

  /** The engine no longer keeps the process alive. */
  unref(): this {
    setReferenced(this.#liveness, false);
    return this;
  }

  /** Completions read by the engine's thread, and spins that found nothing. */
  get counters(): {
    /** Completions read by the engine's thread. */
    threadReads: number;
    /** Spins that found nothing. */
    spinsMissed: number;
  } {
    const counters = this.#running ? addon().engineCounters(this.queue.handle) : undefined;
    return counters ?? { threadReads: 0, spinsMissed: 0 };
  }

  /** Stops: afterwards no thread of the engine's is in libfabric. Idempotent; closing the queue does it too. */
  stop(): void {
    if (!this.#running) return;
    this.#running = false;
    all.delete(this.#key);
    held.delete(this);
    setReferenced(this.#liveness, false);
    collected.unregister(this);
    this.queue.engine = undefined;
    if (!this.queue.closed) addon().stopEngine(this.queue.handle);
  }
}
