// The order of messages. A provider matches messages to buffers in the order both were posted, but not every one completes
// them so (tcp;ofi_rxm fetches a large message while small ones behind it arrive): here they get back in line.
import type { Held } from './inbox.js';
import type { Chunk } from './slab.js';

/**
 * How long messages wait for one before them that has been matched and does not arrive: its sender may be dead, and must
 * not hold up the others for ever.
 */
const PATIENCE_MS = 2000;

export class ArrivalOrder {
  /** Buffers in the order they were posted, with what arrived in them. */
  readonly #places = new Map<Chunk, Held | undefined>();
  readonly #onReady: () => void;
  #waiting = 0;
  /** The buffer that others wait for. */
  #awaited: Chunk | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** `onReady`: messages may be taken that had to wait. */
  constructor(onReady: () => void) {
    this.#onReady = onReady;
  }

  /** Messages that wait for one before them. */
  get waiting(): number {
    return this.#waiting;
  }

  posted(chunk: Chunk): void {
    this.#places.set(chunk, undefined);
  }

  /** False where the buffer has lost its place: the message is next. */
  arrived(chunk: Chunk, held: Held): boolean {
    if (!this.#places.has(chunk)) return false;
    this.#places.set(chunk, held);
    this.#waiting += 1;
    return true;
  }

  /** The buffer will not get a message. */
  gone(chunk: Chunk): void {
    this.#places.delete(chunk);
  }

  /** The next message in order, if it is there. */
  take(): Held | undefined {
    if (this.#waiting === 0) return undefined;
    const [[chunk, held]] = this.#places;
    if (held === undefined) {
      this.#waitFor(chunk);
      return undefined;
    }
    this.#places.delete(chunk);
    this.#waiting -= 1;
    return held;
  }

  #waitFor(chunk: Chunk): void {
    if (this.#awaited === chunk) return;
    this.#awaited = chunk;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#awaited = undefined;
      if (this.#waiting !== 0) this.#giveUp(chunk);
    }, PATIENCE_MS).unref();
  }

  /** The first buffers lose their places: what arrives in them comes when it comes. */
  #giveUp(first: Chunk): void {
    const [[head]] = this.#places;
    if (head === first) {
      for (const [chunk, held] of this.#places) {
        if (held !== undefined) break;
        this.#places.delete(chunk);
      }
    }
    this.#onReady();
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
