// fi_cntr(3): how many operations have completed, without a record of each.
import { FI_EAVAIL, FI_ENOSYS, FI_ETIMEDOUT } from './errno.js';
import { FI_WAIT_NONE } from './constants.js';
import { Domain } from './domain.js';
import { check, checkInteger, checkUint64, statusError, typeError, unsupportedError } from './errors.js';
import { addon } from './library.js';
import { enumName, enumValue } from './names.js';
import { FabricObject, opened } from './object.js';

// The changes, as native/counter.cc numbers them.
const ADD = 0;
const SET = 1;
const ADD_ERRORS = 2;
const SET_ERRORS = 3;
const changeCalls = ['fi_cntr_add', 'fi_cntr_set', 'fi_cntr_adderr', 'fi_cntr_seterr'] as const;

/**
 * A counter (fi_cntr(3)): Endpoint.bind() says which operations it counts. Operations that fail are counted apart, in
 * `errors`. Some providers count in 32 bits (sockets). As with a queue, somebody must read it, or a queue of the endpoint, for data to move.
 */
export class Counter extends FabricObject {
  private constructor(handle: number, domain: Domain) {
    super(handle, 'Counter', [domain]);
  }

  /**
   * `fi_cntr_open(3)`: opens a counter of completed operations.
   *
   * @param options - `waitObject`: a C name or number of enum fi_wait_obj; default FI_WAIT_NONE. With FI_WAIT_FD, where the
   *   provider has it and is not efa, wait() sleeps in the provider; otherwise it looks at the counter again and again, after pauses of
   *   10 to 1000 microseconds.
   * @throws FabricError FI_ENOSYS where the provider has no counters or lacks the wait object.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cntr.3.html
   */
  static async open(domain: Domain, options: { waitObject?: string | number } = {}): Promise<Counter> {
    if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
    const wait = enumValue('waitObject', options.waitObject ?? FI_WAIT_NONE, 'options.waitObject');
    const about = `wait object ${enumName('waitObject', wait)}`;
    // efa sleeps with the domain's lock, which whoever would wake it needs: for ever on libfabric 2.1.
    const sleeps = domain.info.provider === 'efa' ? 0 : 1;
    const handle = await opened(addon().openCounter(domain.handle, wait, sleeps), 'fi_cntr_open', about);
    return new Counter(handle, domain);
  }

  #values(call: string): readonly [bigint, bigint] {
    const values = addon().readCounter(this.handle);
    if (typeof values === 'number') throw statusError(values, call, 'the Counter');
    return values;
  }

  /**
   * `fi_cntr_read(3)`: makes progress and answers how many operations have succeeded. While an endpoint that is bound to
   * the counter closes, it is the number of the last read.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cntr.3.html
   */
  read(): bigint {
    return this.#values('fi_cntr_read')[0];
  }

  /**
   * `fi_cntr_readerr(3)`: how many operations have failed.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cntr.3.html
   */
  get errors(): bigint {
    return this.#values('fi_cntr_readerr')[1];
  }

  #change(what: number, value: bigint | number): void {
    const call = changeCalls[what] ?? '';
    const status = addon().changeCounter(this.handle, what, checkUint64('value', value));
    if (status === -FI_ENOSYS) throw unsupportedError(`the provider has no ${call}`, call);
    check(status, call, 'the Counter');
  }

  /**
   * `fi_cntr_add(3)`: raises the value. With most providers the change may take effect a little later.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cntr.3.html
   */
  add(value: bigint | number): void {
    this.#change(ADD, value);
  }

  /**
   * `fi_cntr_set(3)`: sets the value.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cntr.3.html
   */
  set(value: bigint | number): void {
    this.#change(SET, value);
  }

  /**
   * `fi_cntr_adderr(3)`: raises the count of failures.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cntr.3.html
   */
  addErrors(value: bigint | number): void {
    this.#change(ADD_ERRORS, value);
  }

  /**
   * `fi_cntr_seterr(3)`: sets the count of failures.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cntr.3.html
   */
  setErrors(value: bigint | number): void {
    this.#change(SET_ERRORS, value);
  }

  /**
   * `fi_cntr_wait(3)`: waits, off the JavaScript thread, until the value is at least `threshold`. Makes progress meanwhile.
   *
   * @param timeoutMs - Bound on the wait.
   * @returns Whether it was reached within the time.
   * @throws FabricError FI_EAVAIL where an operation failed meanwhile; ERR_FABRIC_CLOSED where the counter was closed.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cntr.3.html
   */
  async wait(threshold: bigint | number, timeoutMs: number): Promise<boolean> {
    const wanted = checkUint64('threshold', threshold);
    checkInteger('timeoutMs', timeoutMs, 0, 2 ** 31 - 1);
    const status = await addon().waitCounter(this.handle, wanted, timeoutMs);
    if (status === -FI_ETIMEDOUT) return false;
    const about = status === -FI_EAVAIL ? 'an operation that the Counter counts has failed' : 'the Counter';
    check(status, 'fi_cntr_wait', about);
    return true;
  }
}
