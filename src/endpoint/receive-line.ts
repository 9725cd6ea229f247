// Receives that no buffer of their own was posted for: while messages() is open its pool serves them, and without room in
// the provider they wait. In order, the tagged ones apart.
import { checkBytes, closedError } from '../fi/errors.js';
import type { Core } from './core.js';
import { hasDeadline, watchDeadline, withReleased } from './deadline.js';
import type { Held } from './held.js';
import type { Inbox } from './inbox.js';
import { Later } from './later.js';
import { Kind, type Operation, type Waiter, kindName, settling } from './operation.js';
import type { Peer } from './peer.js';
import type { Lease } from './slab.js';
import type { ReceiveOptions, Received } from './types.js';

/** What a recv() asked for. */
export interface WantedReceive {
  readonly kind: Kind.Receive | Kind.ReceiveTagged;
  readonly buffer: Uint8Array | undefined;
  readonly lease: Lease | undefined;
  readonly length: number;
  readonly from: Peer | undefined;
  readonly tag: bigint;
  readonly ignore: bigint;
}

interface Entry extends WantedReceive {
  waiter: Waiter<Received>;
  /** Once a buffer was posted for it after all. */
  operation: Operation | undefined;
}

export class ReceiveLine {
  readonly #core: Core;
  readonly #inbox: Inbox;
  /** Posts a buffer; undefined where the provider has no room for it. */
  readonly #post: (wanted: WantedReceive) => Operation | undefined;
  /** Gives up a posted receive. */
  abort: (operation: Operation, reason: unknown) => void = () => undefined;
  readonly #untagged: Entry[] = [];
  readonly #tagged: Entry[] = [];
  readonly #later = new Later(() => {
    this.serve();
  });

  constructor(core: Core, inbox: Inbox, post: (wanted: WantedReceive) => Operation | undefined) {
    this.#core = core;
    this.#inbox = inbox;
    this.#post = post;
  }

  isEmpty(kind: Kind): boolean {
    return (kind === Kind.Receive ? this.#untagged : this.#tagged).length === 0;
  }

  #lineOf(kind: Kind): Entry[] {
    return kind === Kind.Receive ? this.#untagged : this.#tagged;
  }

  wait(wanted: WantedReceive, options: ReceiveOptions | undefined): Promise<Received> {
    return new Promise<Received>((resolve, reject) => {
      const core = this.#core;
      wanted.lease?.beginReceive();
      core.beginWait();
      let stop: (() => void) | undefined;
      const waiter = settling({ resolve, reject }, () => {
        stop?.();
        core.endWait();
      });
      const entry: Entry = { ...wanted, waiter, operation: undefined };
      if (hasDeadline(options)) {
        stop = watchDeadline(options, kindName(wanted.kind), (reason) => {
          this.#expire(entry, reason);
        });
      }
      this.#lineOf(wanted.kind).push(entry);
      if (wanted.kind === Kind.Receive) this.#inbox.addTaker(wanted.from, (held) => this.#give(entry, held));
      core.poll(true);
      this.serve();
    });
  }

  #remove(entry: Entry): boolean {
    const line = this.#lineOf(entry.kind);
    const index = line.indexOf(entry);
    if (index < 0) return false;
    line.splice(index, 1);
    entry.lease?.end(true);
    return true;
  }

  #expire(entry: Entry, reason: unknown): void {
    const { operation } = entry;
    if (operation === undefined) {
      if (this.#remove(entry)) entry.waiter.reject(withReleased(reason, Promise.resolve()));
    } else if (operation.receive === entry.waiter) {
      this.abort(operation, reason);
    }
  }

  /** A message of the pool for a recv(): false where it no longer wants one. */
  #give(entry: Entry, held: Held): boolean {
    if (!this.#remove(entry)) return false;
    let message: Received;
    try {
      message = this.#deliver(entry, held);
    } catch (error) {
      // Its buffer is gone, the message is not: it goes to the next.
      entry.waiter.reject(error);
      return false;
    }
    entry.waiter.resolve(message);
    return true;
  }

  #deliver(entry: Entry, held: Held): Received {
    const { buffer, lease, length } = entry;
    const target = buffer ?? lease?.data;
    if (target === undefined && held.kept <= length) return this.#inbox.own(held);
    if (buffer !== undefined) checkBytes('into', buffer);
    if (lease?.disposed === true) throw closedError('the Lease');
    const fitting = Math.min(length, held.kept);
    const bytes = held.bytes.subarray(0, fitting);
    target?.set(bytes);
    const message = held.message(target?.subarray(0, fitting) ?? bytes.slice());
    this.#inbox.giveBack(held);
    this.#core.counters.bytesCopied += fitting;
    return message;
  }

  /** Posts buffers of their own for those in line, as soon as nothing of the pool can come before them. */
  serve(): void {
    if (this.#core.state !== 'open') return;
    if (this.#untagged.length !== 0 && this.#inbox.idle) this.#postLine(this.#untagged);
    if (this.#tagged.length !== 0) this.#postLine(this.#tagged);
  }

  #postLine(line: Entry[]): void {
    while (line.length !== 0) {
      const entry = line[0];
      let operation: Operation | undefined;
      // Held while it waits, a lease is now taken by the operation instead.
      entry.lease?.end(true);
      try {
        operation = this.#post(entry);
      } catch (error) {
        line.shift();
        entry.waiter.reject(error);
        continue;
      }
      if (operation === undefined) {
        entry.lease?.beginReceive();
        // Completions serve the line too, where there are any to come.
        this.#later.ask();
        return;
      }
      line.shift();
      operation.receive = entry.waiter;
      entry.operation = operation;
    }
  }

  /** Rejects those that wait: all, or those that want a message of one peer only. */
  reject(reason: Error, from?: Peer): void {
    for (const line of [this.#untagged, this.#tagged]) {
      for (const entry of from === undefined
        ? [...line]
        : line.filter((candidate) => candidate.from === from))
        if (this.#remove(entry)) entry.waiter.reject(withReleased(reason, Promise.resolve()));
    }
  }
}
