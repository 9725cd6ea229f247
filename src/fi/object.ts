// What every object of libfabric's has here: a handle, one close, disposal, and a safety net for the forgotten.
import {
  STATUS_BUSY,
  STATUS_CLOSED,
  busyError,
  check,
  closedError,
  rangeError,
  statusError,
} from './errors.js';
import { addon } from './library.js';

/** @internal What no object has as its handle: given to the addon in the place of one that is left out. */
export const NO_HANDLE = 2 ** 32 - 1;

interface Forgotten {
  handle: number;
  name: string;
}

// An endpoint is forgotten together with all that it depends on: that is told once.
let forgotten: string[] = [];
function warnOfForgotten(): void {
  const names = [...new Set(forgotten)].sort().join(', ');
  forgotten = [];
  process.emitWarning(
    `libfabric objects were garbage-collected without close(): ${names}; call close() or use \`await using\``,
    { type: 'FabricWarning', code: 'FABRIC_FORGOTTEN' },
  );
}

// The program lost the object without closing it: it is closed, in the right order, and told.
const safetyNet = new FinalizationRegistry<Forgotten>(({ handle, name }) => {
  if (forgotten.push(name) === 1) setImmediate(warnOfForgotten);
  addon().forget(handle);
});

/** An object of libfabric's. It lives until close(); what it depends on cannot be closed before it. */
export abstract class FabricObject implements AsyncDisposable {
  readonly #handle: number;
  readonly #name: string;
  // Children hold their parents, so that a reachable endpoint keeps its domain from being collected.
  readonly #parents: readonly FabricObject[];
  #state: 'open' | 'closing' | 'closed' = 'open';
  #closing: Promise<void> | undefined;

  /** @internal */
  protected constructor(handle: number, name: string, parents: readonly FabricObject[]) {
    this.#handle = handle;
    this.#name = name;
    this.#parents = parents;
    safetyNet.register(this, { handle, name }, this);
  }

  /** @internal The handle, of an object that is open. */
  get handle(): number {
    if (this.#state !== 'open') throw closedError(this.#name);
    return this.#handle;
  }

  /** Whether close() was called. */
  get closed(): boolean {
    return this.#state !== 'open';
  }

  /** The libfabric objects that this one depends on. */
  get parents(): readonly FabricObject[] {
    return this.#parents;
  }

  /**
   * @internal Refuses an object that was not opened with this Domain or Fabric: not every provider looks before it takes the
   * object for one of its own.
   */
  checkOwns(argument: string, object: FabricObject): void {
    for (let at: FabricObject | undefined = object; at !== undefined; at = at.#parents.at(0))
      if (at === this) return;
    throw rangeError(argument, object, `of the same ${this.#name}`, `Open both with one ${this.#name}`);
  }

  /** @internal What is to happen on this side before the object closes. */
  protected beforeClose(): void {
    // nothing in general
  }

  /** @internal */
  protected startClose(handle: number): Promise<number> {
    return addon().close(handle);
  }

  /**
   * `fi_close(3)`: closes the object, off the JavaScript thread. Idempotent: a second call gives the first one's promise.
   *
   * @throws FabricError ERR_FABRIC_BUSY while something depends on the object, which is named; the object stays open.
   * @throws FabricError with the fi_errno where the provider refuses, such as FI_EBUSY; the object stays open.
   */
  close(): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;
    const dependants = this.#state === 'open' ? addon().dependants(this.#handle) : [];
    if (dependants.length !== 0) return Promise.reject(busyError(`the ${this.#name}`, dependants));
    this.#state = 'closing';
    this.beforeClose();
    this.#closing = this.#finishClose(this.startClose(this.#handle));
    return this.#closing;
  }

  async #finishClose(answer: Promise<number>): Promise<void> {
    const status = await answer;
    if (status < 0 && status !== STATUS_CLOSED) {
      this.#state = 'open';
      this.#closing = undefined;
      if (status === STATUS_BUSY) throw busyError(`the ${this.#name}`, addon().dependants(this.#handle));
      throw statusError(status, 'fi_close', this.#name);
    }
    this.#state = 'closed';
    safetyNet.unregister(this);
  }

  /** @internal Its opening failed: there is nothing to close. */
  neverOpened(): void {
    this.#state = 'closed';
    safetyNet.unregister(this);
  }

  /**
   * @internal Gives the object up, with all that it depends on: it stays open until the process ends, which a close that
   * is under way no longer keeps, and nobody is told that it was forgotten.
   */
  abandon(): void {
    this.#state = 'closed';
    safetyNet.unregister(this);
    addon().abandon(this.#handle);
    for (const parent of this.#parents) parent.abandon();
  }

  /** close(), for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Turns the addon's answer to an opening call into a handle. */
export async function opened(answer: Promise<number>, call: string, about = ''): Promise<number> {
  return check(await answer, call, about);
}
