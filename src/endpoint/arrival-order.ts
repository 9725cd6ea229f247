// The order of messages. A provider matches messages to buffers in the order both were posted, but not every one completes
// them so (tcp;ofi_rxm fetches a large message while small ones behind it arrive): here they get back in line. Most come
// in order, and cost a comparison.
import type { Held } from './held.js';

/**
 * How long messages wait for one before them that has been matched and does not arrive: its sender may be dead, and must
 * not hold up the others for ever.
 */
const PATIENCE_MS = 2000;

/** Instead of a message: the buffer will not get one. */
const GONE = Symbol('gone');

export class ArrivalOrder {
  readonly #onReady: () => void;
  /** The place that the next buffer gets. */
  #last = 0;
  /** The place whose message is next. */
  #next = 0;
  /** What came before its turn, by place. */
  readonly #early = new Map<number, Held | typeof GONE>();
  #waiting = 0;
  /** The place that others wait for. */
  #awaited = -1;
  #timer: NodeJS.Timeout | undefined;

  /** `onReady`: messages may be taken that had to wait. */
  constructor(onReady: () => void) {
    this.#onReady = onReady;
  }

  /** Messages that wait for one before them. */
  get waiting(): number {
    return this.#waiting;
  }

  /** A buffer is about to be posted: its place. */
  posted(): number {
    return this.#last++;
  }

  /** The last so many buffers were refused, and lose their places. */
  refused(count: number): void {
    this.#last -= count;
  }

  /** Whether a message must wait. Not where it is next, nor where its buffer has lost its place. */
  arrived(place: number, held: Held): boolean {
    if (place < this.#next) return false;
    if (place === this.#next) {
      this.#next += 1;
      return false;
    }
    this.#early.set(place, held);
    this.#waiting += 1;
    return true;
  }

  /** The buffer will not get a message. */
  gone(place: number): void {
    if (place === this.#next) this.#next += 1;
    else if (place > this.#next) this.#early.set(place, GONE);
  }

  /** The next message in order of those that had to wait, if it is its turn. */
  take(): Held | undefined {
    while (this.#early.size !== 0) {
      const held = this.#early.get(this.#next);
      if (held === undefined) {
        if (this.#waiting !== 0) this.#waitFor(this.#next);
        return undefined;
      }
      this.#early.delete(this.#next);
      this.#next += 1;
      if (held === GONE) continue;
      this.#waiting -= 1;
      return held;
    }
    return undefined;
  }

  #waitFor(place: number): void {
    if (this.#awaited === place) return;
    this.#awaited = place;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#awaited = -1;
      if (this.#waiting !== 0) this.#giveUp(place);
    }, PATIENCE_MS).unref();
  }

  /** The first buffers lose their places: what arrives in them comes when it comes. */
  #giveUp(first: number): void {
    if (this.#next === first) while (!this.#early.has(this.#next)) this.#next += 1;
    this.#onReady();
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
