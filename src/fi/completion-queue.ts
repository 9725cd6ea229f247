// fi_cq(3): completions of operations.
import { Completions } from './completion.js';
import { FI_CQ_FORMAT_DATA, FI_CQ_FORMAT_TAGGED, FI_WAIT_NONE, FI_WAIT_SET } from './constants.js';
import { Domain } from './domain.js';
import { FI_ECANCELED, FI_ETIMEDOUT } from './errno.js';
import { check, checkInteger, closedError, rangeError, typeError } from './errors.js';
import { addon } from './library.js';
import { enumName, enumValue } from './names.js';
import { FabricObject, NO_HANDLE, opened } from './object.js';
import { registers } from './registers.js';
import { WaitSet } from './wait-set.js';

/** Options of CompletionQueue.open(). */
export interface CompletionQueueOptions {
  /**
   * How many operations may be in flight on the queue; a power of two; default 1024. Contexts are the whole numbers
   * below it, and the queue cannot overrun.
   */
  capacity?: number;
  /** 'FI_CQ_FORMAT_TAGGED' (default) or 'FI_CQ_FORMAT_DATA', which some providers without tagged messages ask for. */
  format?: 'FI_CQ_FORMAT_TAGGED' | 'FI_CQ_FORMAT_DATA';
  /** A C name or number of enum fi_wait_obj; default FI_WAIT_NONE. */
  waitObject?: string | number;
  /** A wait set of the domain's Fabric that the queue is to wake (FI_WAIT_SET). It cannot be closed before the queue. */
  waitSet?: WaitSet;
}

/** A completion queue (fi_cq(3)). Somebody must read it: data moves only then. */
export class CompletionQueue extends FabricObject {
  /** How many operations may be in flight. */
  readonly capacity: number;
  /** The wait object that was granted: a C name of enum fi_wait_obj. */
  readonly waitObject: string;
  /** The file descriptor that tells of completions (FI_GETWAIT); -1 where there is none. */
  readonly waitFd: number;
  /** What the last read() found; the same object every time. */
  readonly completions: Completions;
  // Kept at hand for the hot path: the addon's exports are too many for V8 to look one up quickly.
  readonly #poll = addon().pollQueue;
  readonly #call = registers().call;
  readonly #open: number;

  /** @internal The engine that reads the queue. */
  engine: { stop(): void } | undefined;

  private constructor(handle: number, domain: Domain, capacity: number, waitSet: WaitSet | undefined) {
    super(handle, 'CompletionQueue', waitSet === undefined ? [domain] : [domain, waitSet]);
    this.capacity = capacity;
    this.#open = handle;
    const memory = addon().completionQueueMemory(handle);
    const wait = addon().completionQueueWait(handle);
    if (memory === undefined || wait === undefined) throw closedError('the CompletionQueue');
    this.completions = new Completions(memory);
    this.waitObject = enumName('waitObject', wait.object);
    this.waitFd = wait.fd;
  }

  /**
   * `fi_cq_open(3)`: opens a completion queue.
   *
   * @throws FabricError FI_ENOSYS where the provider lacks the wait object or the format.
   */
  static async open(domain: Domain, options: CompletionQueueOptions = {}): Promise<CompletionQueue> {
    if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
    const capacity = checkInteger('options.capacity', options.capacity ?? 1024, 8, 1 << 20);
    if ((capacity & (capacity - 1)) !== 0) throw rangeError('options.capacity', capacity, 'a power of two');
    const format = options.format === 'FI_CQ_FORMAT_DATA' ? FI_CQ_FORMAT_DATA : FI_CQ_FORMAT_TAGGED;
    const { waitSet } = options;
    if (waitSet !== undefined && !(waitSet instanceof WaitSet))
      throw typeError('options.waitSet', waitSet, 'a WaitSet');
    if (waitSet !== undefined) domain.parents[0].checkOwns('options.waitSet', waitSet);
    const wished = options.waitObject ?? (waitSet === undefined ? FI_WAIT_NONE : FI_WAIT_SET);
    const wait = enumValue('waitObject', wished, 'options.waitObject');
    if (waitSet !== undefined && wait !== FI_WAIT_SET)
      throw rangeError('options.waitObject', wished, "'FI_WAIT_SET', where a wait set is given");
    const about = `wait object ${enumName('waitObject', wait)}`;
    const answer = addon().openCompletionQueue(
      domain.handle,
      capacity,
      format,
      wait,
      waitSet?.handle ?? NO_HANDLE,
    );
    return new CompletionQueue(await opened(answer, 'fi_cq_open', about), domain, capacity, waitSet);
  }

  /**
   * `fi_cq_readfrom(3)` and `fi_cq_readerr(3)`: makes progress and reads what has completed, good and bad, into
   * `completions`, whose earlier content is forgotten. Never blocks: at most it spins for the time given.
   *
   * @param max - At most so many are shown; the others come with the next call. Default: all.
   * @param spinMicroseconds - How long to look again while there is nothing; default 0.
   * @returns How many there are.
   */
  read(max = this.capacity, spinMicroseconds = 0): number {
    return this.#read(max, spinMicroseconds, 0);
  }

  /** @internal As read(), within the budget of the loop's turn (Engine). */
  readWithinBudget(spinMicroseconds: number): number {
    return this.#read(this.capacity, spinMicroseconds, 1);
  }

  #read(max: number, spinMicroseconds: number, budgeted: number): number {
    const call = this.#call;
    call[0] = this.#open;
    call[1] = this.completions.count;
    call[2] = max;
    call[3] = spinMicroseconds;
    call[4] = budgeted;
    this.#poll();
    // A small integer again: a double would make every use of it slow.
    return this.found(call[0] | 0, max);
  }

  /** @internal The addon answered that so many records wait. */
  found(count: number, max = this.capacity): number {
    const { completions } = this;
    if (count < 0) {
      check(count, 'fi_cq_readfrom', 'the CompletionQueue');
      return 0;
    }
    completions.advance(count);
    if (count > max) completions.limit(max);
    return completions.count;
  }

  /**
   * As `fi_cq_sreadfrom(3)`: waits, off the JavaScript thread, until something has completed that no read() has shown, making
   * progress meanwhile; read() then gives it.
   *
   * @param timeoutMs - Bound on the wait.
   * @returns False where the time is over, or signal() was called.
   * @throws FabricError ERR_FABRIC_CLOSED where the queue was closed meanwhile.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cq.3.html
   */
  async sread(timeoutMs: number): Promise<boolean> {
    checkInteger('timeoutMs', timeoutMs, 0, 2 ** 31 - 1);
    const status = await addon().waitForCompletion(this.handle, timeoutMs);
    if (status === -FI_ETIMEDOUT || status === -FI_ECANCELED) return false;
    check(status, 'fi_cq_sreadfrom', 'the CompletionQueue');
    return true;
  }

  /**
   * `fi_cq_signal(3)`: ends the waits of sread() and of whoever sleeps on the queue in the provider.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cq.3.html
   */
  signal(): void {
    check(addon().signalCompletionQueue(this.handle), 'fi_cq_signal', 'the CompletionQueue');
  }

  /** `fi_cq_strerror(3)`: the provider's words for a failed completion of the last read; each can be taken once. */
  errorText(index: number): string {
    return addon().completionText(this.handle, this.completions.text(index));
  }

  protected override beforeClose(): void {
    this.engine?.stop();
  }
}
