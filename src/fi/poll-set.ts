// fi_poll(3): which of several queues and counters have something.
import { CompletionQueue } from './completion-queue.js';
import { Counter } from './counter.js';
import { Domain } from './domain.js';
import { EventQueue } from './event-queue.js';
import { FI_EALREADY, FI_EINVAL, FI_ENOENT, FI_ENOSYS } from './errno.js';
import {
  STATUS_AGAIN,
  STATUS_UNSUPPORTED,
  check,
  rangeError,
  statusError,
  typeError,
  unsupportedError,
} from './errors.js';
import { Fabric } from './fabric.js';
import { addon } from './library.js';
import { FabricObject } from './object.js';
import { WaitSet } from './wait-set.js';

/** A poll set (fi_poll(3)): asks several queues and counters of a domain at once. libfabric 2 calls poll sets deprecated. */
export class PollSet extends FabricObject {
  readonly #members = new Map<number, CompletionQueue | Counter>();

  private constructor(handle: number, domain: Domain) {
    super(handle, 'PollSet', [domain]);
  }

  /**
   * `fi_poll_open(3)`: opens a poll set.
   *
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has no poll sets.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_poll.3.html
   */
  static async open(domain: Domain): Promise<PollSet> {
    if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
    const status = await addon().openPollSet(domain.handle);
    if (status === -FI_ENOSYS) throw unsupportedError('the provider has no poll sets', 'fi_poll_open');
    return new PollSet(check(status, 'fi_poll_open'), domain);
  }

  #change(member: CompletionQueue | Counter, adds: boolean): void {
    if (!(member instanceof CompletionQueue) && !(member instanceof Counter))
      throw typeError('member', member, 'a CompletionQueue or a Counter');
    this.parents[0].checkOwns('member', member);
    const { handle } = member;
    const status = addon().changePollSet(this.handle, handle, adds);
    if (status === -FI_EALREADY) throw rangeError('member', member, 'none of the set', 'It was added before');
    if (status === -FI_ENOENT) throw rangeError('member', member, 'one of the set', 'Add it first');
    check(status, adds ? 'fi_poll_add' : 'fi_poll_del', 'the PollSet or its member');
    if (adds) this.#members.set(handle, member);
    else this.#members.delete(handle);
  }

  /**
   * `fi_poll_add(3)`: adds a queue or a counter, which cannot be closed while it is in the set.
   *
   * @throws RangeError for what was added before, or belongs to another Domain.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_poll.3.html
   */
  add(member: CompletionQueue | Counter): void {
    this.#change(member, true);
  }

  /**
   * `fi_poll_del(3)`: takes a queue or a counter out.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_poll.3.html
   */
  delete(member: CompletionQueue | Counter): void {
    this.#change(member, false);
  }

  /**
   * `fi_poll(3)`: makes progress and answers the members that have something, of a queue what no read() has shown. Never
   * blocks.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_poll.3.html
   */
  poll(): (CompletionQueue | Counter)[] {
    const found = addon().poll(this.handle);
    if (typeof found === 'number') throw statusError(found, 'fi_poll', 'the PollSet');
    return found.map((handle) => this.#members.get(handle)).filter((member) => member !== undefined);
  }
}

/**
 * `fi_trywait(3)`: whether it is safe to sleep on the file descriptors of these objects: true where none, and no queue of a
 * WaitSet, has anything that its descriptor would not tell of. Never blocks.
 *
 * @param objects - Of the fabric: CompletionQueues, EventQueues, Counters and WaitSets that have a wait object.
 * @returns False: read first.
 * @throws RangeError where one has no wait object, or belongs to another Fabric.
 * @see https://ofiwg.github.io/libfabric/main/man/fi_poll.3.html
 */
export function tryWait(
  fabric: Fabric,
  objects: readonly (CompletionQueue | EventQueue | Counter | WaitSet)[],
): boolean {
  if (!(fabric instanceof Fabric)) throw typeError('fabric', fabric, 'a Fabric');
  const handles = objects.map((object, index) => {
    if (
      !(object instanceof CompletionQueue) &&
      !(object instanceof EventQueue) &&
      !(object instanceof Counter) &&
      !(object instanceof WaitSet)
    )
      throw typeError(
        `objects[${index}]`,
        object,
        'a CompletionQueue, an EventQueue, a Counter or a WaitSet',
      );
    fabric.checkOwns(`objects[${index}]`, object);
    return object.handle;
  });
  const status = addon().tryWait(fabric.handle, handles);
  if (status === STATUS_AGAIN) return false;
  if (status === STATUS_UNSUPPORTED || status === -FI_ENOSYS)
    throw unsupportedError('the provider has no fi_trywait', 'fi_trywait');
  if (status === -FI_EINVAL)
    throw rangeError(
      'objects',
      objects,
      'objects with a wait object',
      "Open them with { waitObject: 'FI_WAIT_FD' }",
    );
  check(status, 'fi_trywait', 'the Fabric or one of the objects');
  return true;
}
