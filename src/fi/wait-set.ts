// fi_poll(3): waiting on several queues and counters at once.
import { FI_WAIT_FD } from './constants.js';
import { FI_ENOSYS, FI_ETIMEDOUT } from './errno.js';
import { check, checkInteger, typeError, unsupportedError } from './errors.js';
import { Fabric } from './fabric.js';
import { addon } from './library.js';
import { enumName, enumValue } from './names.js';
import { FabricObject } from './object.js';

/**
 * A wait set (fi_poll(3)): give it to CompletionQueue.open() for each queue that is to wake whoever waits on it. libfabric 2
 * calls wait sets deprecated, and few providers still have them.
 */
export class WaitSet extends FabricObject {
  /** The file descriptor that tells of its members (FI_GETWAIT); -1 where there is none. */
  readonly waitFd: number;

  private constructor(handle: number, fabric: Fabric) {
    super(handle, 'WaitSet', [fabric]);
    this.waitFd = addon().waitSetFd(handle);
  }

  /**
   * `fi_wait_open(3)`: opens a wait set.
   *
   * @param options - `waitObject`: a C name or number of enum fi_wait_obj; default FI_WAIT_FD.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has no wait sets.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_poll.3.html
   */
  static async open(fabric: Fabric, options: { waitObject?: string | number } = {}): Promise<WaitSet> {
    if (!(fabric instanceof Fabric)) throw typeError('fabric', fabric, 'a Fabric');
    const wait = enumValue('waitObject', options.waitObject ?? FI_WAIT_FD, 'options.waitObject');
    const status = await addon().openWaitSet(fabric.handle, wait);
    const about = `wait object ${enumName('waitObject', wait)}`;
    if (status === -FI_ENOSYS)
      throw unsupportedError(`the provider has no wait sets, or none with ${about}`, 'fi_wait_open');
    return new WaitSet(check(status, 'fi_wait_open', about), fabric);
  }

  /**
   * As `fi_wait(3)`: waits, off the JavaScript thread, until a queue of the set has something that no read() has shown.
   *
   * @param timeoutMs - Bound on the wait.
   * @returns False where nothing came within the time. True says only that it is worth looking.
   * @throws FabricError ERR_FABRIC_CLOSED where the set was closed meanwhile.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_poll.3.html
   */
  async wait(timeoutMs: number): Promise<boolean> {
    checkInteger('timeoutMs', timeoutMs, 0, 2 ** 31 - 1);
    const status = await addon().waitOnSet(this.handle, timeoutMs);
    if (status === -FI_ETIMEDOUT) return false;
    check(status, 'fi_wait', 'the WaitSet');
    return true;
  }
}
