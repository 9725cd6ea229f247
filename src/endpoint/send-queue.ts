// Sends that wait for room: in order for each peer, bounded in time, tried again when completions come and, since room may
// come without any, on a timer.
import { deadlineError } from '../fi/errors.js';
import type { Core } from './core.js';
import { hasDeadline, watchDeadline, withReleased } from './deadline.js';
import { Kind, type Operation, type Waiter, kindName, settling } from './operation.js';
import type { Peer } from './peer.js';
import type { Deadline } from './types.js';

/** What is to be given to the provider as soon as it has room. */
export interface Job {
  readonly kind: Kind;
  /**
   * Gives it to the provider: the operation; or how much of what needs several; undefined where there is no room. Throws what
   * else the provider says.
   */
  post(waiter: Waiter<void>): Operation | 'all' | 'some' | undefined;
  /** It waits no longer: it was posted, or given up. */
  leave(posted: boolean): void;
}

/** One that has not been given to the provider yet. */
export interface WaitingSend {
  readonly job: Job;
  readonly waiter: Waiter<void>;
  /** When it is given up, in ms of performance.now(). */
  giveUpAt: number;
  /** Once it was given to the provider. */
  operation: Operation | undefined;
}

/** How often in a row the loop's turns are used for another try, before timers are. */
const FAST_TURNS = 64;
const SLOWEST_RETRY_MS = 16;

export class SendQueue {
  readonly #core: Core;
  readonly #timeoutMs: number;
  readonly #peers = new Set<Peer>();
  #retries = 0;
  #retryScheduled = false;
  #drained: (() => void) | undefined;

  constructor(core: Core, timeoutMs: number) {
    this.#core = core;
    this.#timeoutMs = timeoutMs;
  }

  get length(): number {
    return this.#core.sendsWaiting;
  }

  /** Posts as soon as there is room, after what waits already. */
  add(peer: Peer, job: Job, deadline: Deadline | undefined): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const core = this.#core;
      core.beginWait();
      let stop: (() => void) | undefined;
      const waiter = settling({ resolve, reject }, () => {
        stop?.();
        core.endWait();
      });
      const giveUpAt = performance.now() + this.#timeoutMs;
      const entry: WaitingSend = { job, waiter, giveUpAt, operation: undefined };
      // Before it can settle, so that settling it stops the watch.
      if (hasDeadline(deadline)) {
        stop = watchDeadline(deadline, kindName(job.kind), (reason) => {
          this.#expire(peer, entry, reason);
        });
      }
      const isFirst = peer.waiting.length === 0;
      peer.waiting.push(entry);
      core.sendsWaiting += 1;
      this.#peers.add(peer);
      // Behind others it is not its turn; and every try copies the first one's message, which may be large, anew.
      if (isFirst) {
        this.#push(peer);
        if (peer.waiting.length !== 0) {
          core.poll(false);
          this.#push(peer);
        }
      }
      this.#scheduleRetry();
    });
  }

  /** Gives as many of a peer's waiting sends to the provider as it takes, in order. */
  #push(peer: Peer): void {
    const { waiting } = peer;
    while (waiting.length !== 0) {
      const entry = waiting[0];
      let posted: ReturnType<Job['post']>;
      try {
        posted = entry.job.post(entry.waiter);
      } catch (error) {
        this.#remove(peer, entry, false);
        entry.waiter.reject(error);
        continue;
      }
      if (posted === undefined) return;
      this.#retries = 0;
      if (posted === 'some') {
        entry.giveUpAt = performance.now() + this.#timeoutMs;
        return;
      }
      this.#remove(peer, entry, true);
      if (posted === 'all' || posted.send === undefined) entry.waiter.resolve();
      else entry.operation = posted;
    }
  }

  #remove(peer: Peer, entry: WaitingSend, posted: boolean): boolean {
    const { waiting } = peer;
    const index = waiting.indexOf(entry);
    if (index < 0) return false;
    if (index === 0) waiting.shift();
    else waiting.splice(index, 1);
    entry.job.leave(posted);
    this.#core.sendsWaiting -= 1;
    if (waiting.length === 0) this.#peers.delete(peer);
    if (this.#core.sendsWaiting === 0) this.#drained?.();
    return true;
  }

  /** Completions came, or memory did: there may be room. */
  roomMayBeThere(): void {
    if (this.#core.sendsWaiting === 0) this.#drained?.();
    else for (const peer of [...this.#peers]) this.#push(peer);
  }

  // Room may come without a completion of ours (the peer makes progress): look again, at once at first, later rarely,
  // and never for ever.
  #scheduleRetry(): void {
    if (this.#retryScheduled || this.#core.sendsWaiting === 0) return;
    this.#retryScheduled = true;
    this.#retries += 1;
    const run = (): void => {
      this.#retryScheduled = false;
      this.#core.poll(false);
      this.roomMayBeThere();
      this.#giveUp();
      this.#scheduleRetry();
    };
    if (this.#retries <= FAST_TURNS) setImmediate(run);
    else {
      // What keeps the process alive is the endpoint, unless it was told not to (unref()).
      const pauseMs = Math.min(SLOWEST_RETRY_MS, 2 ** Math.floor((this.#retries - FAST_TURNS) / 16));
      setTimeout(run, pauseMs).unref();
    }
  }

  #giveUp(): void {
    const now = performance.now();
    for (const peer of [...this.#peers]) {
      while (peer.waiting.length !== 0 && peer.waiting[0].giveUpAt <= now) {
        const message =
          `no room to send to ${peer.contact} for ${String(this.#timeoutMs)} ms: the peer does not read, or is gone; ` +
          'peer.close() settles what waits, sendTimeoutMs of open() sets the time';
        this.#reject(peer, peer.waiting[0], deadlineError(message));
      }
    }
  }

  #reject(peer: Peer, entry: WaitingSend, reason: unknown): void {
    if (this.#remove(peer, entry, false)) entry.waiter.reject(withReleased(reason, Promise.resolve()));
  }

  /** The deadline of a send passed, or its signal was aborted. */
  #expire(peer: Peer, entry: WaitingSend, reason: unknown): void {
    if (entry.operation === undefined) this.#reject(peer, entry, reason);
    else this.#detach(entry.operation, entry.waiter, reason);
  }

  /** Rejects who waits for an operation in flight; the provider keeps its memory until it completes. */
  #detach(operation: Operation, waiter: Waiter<void>, reason: unknown): void {
    if (operation.send !== waiter) return; // it has completed, and its record may serve another by now
    operation.send = undefined;
    const released = new Promise<void>((resolve) => {
      operation.released = resolve;
    });
    waiter.reject(withReleased(reason, released));
  }

  /** Rejects every send to a peer. */
  closePeer(peer: Peer, reason: Error): void {
    for (const entry of [...peer.waiting]) this.#reject(peer, entry, reason);
    for (const operation of this.#core.operations.inFlight()) {
      if (operation.peer !== peer || operation.kind >= Kind.Receive) continue;
      if (operation.send !== undefined) this.#detach(operation, operation.send, reason);
      // Nobody waits, and nobody wants to hear of it: the peer was given up.
      else operation.released ??= () => undefined;
    }
  }

  /** Resolves when nothing waits and nothing is in flight. */
  drain(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#core.sendsWaiting !== 0 || this.#core.operations.sendsInFlight !== 0) return;
        this.#drained = undefined;
        resolve();
      };
      this.#drained = look;
      look();
    });
  }

  /** At the end: rejects whatever is left. */
  rejectAll(reason: Error): void {
    for (const peer of [...this.#peers])
      for (const entry of [...peer.waiting]) this.#reject(peer, entry, reason);
    for (const operation of this.#core.operations.inFlight())
      if (operation.kind < Kind.Receive && operation.send !== undefined)
        this.#detach(operation, operation.send, reason);
  }
}
