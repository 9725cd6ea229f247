// messages(): the asynchronous iterator over what arrives.
import { checkInteger, typeError } from '../fi/errors.js';
import { ArrivedMessage, type Held } from './held.js';
import type { Inbox } from './inbox.js';
import { nextTurn, spendTurn } from './turn.js';
import type { Message, MessagesOptions } from './types.js';

type Result<T> = IteratorResult<T, undefined>;

/** A message that lies in the receive buffer itself, until the next one is asked for. */
class BorrowedMessage extends ArrivedMessage {
  readonly #inbox: Inbox;
  #held: Held | undefined;

  constructor(inbox: Inbox, held: Held) {
    super(held.length, held.bytes);
    this.#inbox = inbox;
    this.#held = held;
    held.describe(this);
  }

  override [Symbol.dispose](): void {
    if (this.#held === undefined) return;
    const held = this.#held;
    this.#held = undefined;
    this.data = new Uint8Array(0);
    this.#inbox.giveBack(held);
  }
}

const DONE: Result<never> = { done: true, value: undefined };

/** Options of messages(), checked. */
export function checkMessagesOptions(options: MessagesOptions): void {
  const { batch, borrow, signal } = options;
  if (batch !== undefined) checkInteger('options.batch', batch, 1, 1 << 20);
  if (borrow !== undefined && typeof borrow !== 'boolean')
    throw typeError('options.borrow', borrow, 'a boolean');
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw typeError('options.signal', signal, 'an AbortSignal');
}

/** Iterates over messages, or over batches of them. */
export class MessageIterator<T extends Message | Message[]> implements AsyncIterableIterator<T, undefined> {
  readonly #inbox: Inbox;
  readonly #options: MessagesOptions;
  #state: 'new' | 'open' | 'ended' = 'new';
  #borrowed: BorrowedMessage[] = [];
  #failure: { reason: unknown } | undefined;
  /** Calls of next() that wait. */
  readonly #waiting = new Set<() => void>();
  readonly #onAbort = (): void => {
    this.#failure = { reason: this.#options.signal?.reason };
    this.#finish();
  };

  constructor(inbox: Inbox, options: MessagesOptions) {
    this.#inbox = inbox;
    this.#options = options;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result<T>> {
    this.#giveBackBorrowed();
    if (this.#state === 'new') this.#open();
    if (this.#state === 'ended' || this.#inbox.ended) return this.#ended();
    let held = this.#inbox.take();
    while (held === undefined && this.#inbox.poll() !== 0) held = this.#inbox.take();
    if (held === undefined) return this.#wait();
    const value = this.#yield(held);
    // Of a literal made just here V8 knows that it is no promise, and does not look for its `then`.
    if (spendTurn()) return Promise.resolve<Result<T>>({ done: false, value });
    return new Promise((resolve) => {
      nextTurn(() => {
        resolve({ done: false, value });
      });
    });
  }

  #open(): void {
    const { signal } = this.#options;
    this.#state = 'open';
    if (signal?.aborted === true) {
      this.#failure = { reason: signal.reason };
      this.#state = 'ended';
      return;
    }
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    this.#inbox.open();
  }

  #ended(): Promise<Result<T>> {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) return Promise.reject(failure.reason);
    return Promise.resolve(DONE);
  }

  #wait(): Promise<Result<T>> {
    return new Promise((resolve, reject) => {
      this.#inbox.beginWait();
      let wanted = true;
      const settle = (finish: () => void): void => {
        if (!wanted) return;
        wanted = false;
        this.#waiting.delete(stop);
        this.#inbox.endWait();
        finish();
      };
      const stop = (): void => {
        settle(() => {
          this.#ended().then(resolve, reject);
        });
      };
      this.#waiting.add(stop);
      this.#inbox.addTaker(
        undefined,
        (held) => {
          if (!wanted) return false;
          settle(() => {
            resolve({ done: false, value: this.#yield(held) });
          });
          return true;
        },
        stop,
      );
    });
  }

  #yield(first: Held): T {
    const { batch } = this.#options;
    if (batch === undefined) return this.#message(first, false) as T;
    const messages = [this.#message(first, true)];
    while (messages.length < batch) {
      const held = this.#inbox.take();
      if (held === undefined) break;
      messages.push(this.#message(held, true));
    }
    this.#inbox.refillSeveral();
    return messages as T;
  }

  #message(held: Held, moreFollow: boolean): Message {
    if (this.#options.borrow !== true) return this.#inbox.own(held, moreFollow);
    const message = new BorrowedMessage(this.#inbox, held);
    this.#borrowed.push(message);
    return message;
  }

  #giveBackBorrowed(): void {
    if (this.#borrowed.length === 0) return;
    for (const message of this.#borrowed.splice(0)) message[Symbol.dispose]();
  }

  #finish(): void {
    if (this.#state === 'ended') return;
    const wasOpen = this.#state === 'open';
    this.#state = 'ended';
    this.#giveBackBorrowed();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    for (const stop of [...this.#waiting]) stop();
    if (wasOpen) this.#inbox.close();
  }

  return(): Promise<Result<T>> {
    this.#finish();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#finish();
    return Promise.resolve();
  }
}
