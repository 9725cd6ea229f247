// fi_domain(3): a NIC as seen by the program; everything that moves data belongs to one.
import { Fabric, nativeInfo } from './fabric.js';
import type { AtomicName, Datatype } from './atomic-endpoint.js';
import type { CollectiveName } from './collective-endpoint.js';
import { FI_NOOP, FI_REG_MR, FI_VOID } from './constants.js';
import { FI_ENOSYS, FI_EOPNOTSUPP } from './errno.js';
import {
  check,
  checkUint64,
  isLacking,
  rangeError,
  statusError,
  typeError,
  unsupportedError,
} from './errors.js';
import { EventQueue } from './event-queue.js';
import type { Info } from './info.js';
import { addon } from './library.js';
import { enumValue } from './names.js';
import { FabricObject, opened } from './object.js';

/** What Domain.queryAtomic() answers (struct fi_atomic_attr). */
export interface AtomicAttributes {
  /** Elements that one operation may have. */
  readonly count: number;
  /** Bytes of one element. */
  readonly size: number;
}

/** A domain: one NIC, or one software device, opened (fi_domain(3)). */
export class Domain extends FabricObject {
  /** What it was opened with. */
  readonly info: Info;

  private constructor(handle: number, fabric: Fabric, info: Info) {
    super(handle, 'Domain', [fabric]);
    this.info = info;
  }

  /**
   * `fi_domain(3)`: opens the domain of an Info on its fabric.
   *
   * @throws FabricError with the fi_errno of the call.
   */
  static async open(fabric: Fabric, info: Info): Promise<Domain> {
    if (!(fabric instanceof Fabric)) throw typeError('fabric', fabric, 'a Fabric');
    const handle = await opened(
      addon().openDomain(fabric.handle, nativeInfo(info)),
      'fi_domain',
      info.domainName,
    );
    return new Domain(handle, fabric, info);
  }

  /**
   * `fi_domain_bind(3)`: has events of the domain reported to a queue, which cannot be closed before the domain.
   *
   * @param flags - 0n by default. FI_REG_MR would have registrations end with an event instead of their promise: refused.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider cannot.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_domain.3.html
   */
  bind(events: EventQueue, flags = 0n): void {
    if (!(events instanceof EventQueue)) throw typeError('events', events, 'an EventQueue');
    const bits = checkUint64('flags', flags);
    if ((bits & FI_REG_MR) !== 0n)
      throw rangeError('flags', flags, 'without FI_REG_MR', 'Registrations are promises here');
    const status = addon().bindDomain(this.handle, events.handle, bits);
    if (status === -FI_ENOSYS)
      throw unsupportedError('the provider binds no EventQueue to a Domain', 'fi_domain_bind');
    check(status, 'fi_domain_bind', 'the Domain or the EventQueue');
  }

  /**
   * `fi_query_atomic(3)`: how many elements one atomic operation may have, whichever endpoint of the domain makes it.
   *
   * @param flags - 0n, the default, for atomic(); FI_FETCH_ATOMIC or FI_COMPARE_ATOMIC for the other forms; FI_TAGGED for
   *   tagged ones.
   * @returns Undefined where the provider has no such operation.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider does not answer.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_atomic.3.html
   */
  queryAtomic(datatype: Datatype, operation: AtomicName, flags = 0n): AtomicAttributes | undefined {
    const answer = addon().queryAtomic(
      this.handle,
      enumValue('datatype', datatype, 'datatype'),
      enumValue('atomicOperation', operation, 'operation'),
      checkUint64('flags', flags),
    );
    if (typeof answer !== 'number') return { count: answer[0], size: answer[1] };
    if (answer === -FI_EOPNOTSUPP) return undefined;
    if (answer === -FI_ENOSYS)
      throw unsupportedError('the provider has no fi_query_atomic', 'fi_query_atomic');
    throw statusError(answer, 'fi_query_atomic', 'the Domain');
  }

  /**
   * `fi_query_collective(3)`: how many members a collective operation may have at most; undefined where the provider has no
   * such operation.
   *
   * @param datatype - Of the elements; none for FI_BARRIER.
   * @param operation - How they are combined, for FI_ALLREDUCE, FI_REDUCE and FI_REDUCE_SCATTER.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_collective.3.html
   */
  queryCollective(
    collective: CollectiveName,
    datatype?: Datatype,
    operation?: AtomicName,
  ): number | undefined {
    const answer = addon().queryCollective(
      this.handle,
      enumValue('collectiveOperation', collective, 'collective'),
      datatype === undefined ? FI_VOID : enumValue('datatype', datatype, 'datatype'),
      operation === undefined ? FI_NOOP : enumValue('atomicOperation', operation, 'operation'),
    );
    if (isLacking(answer)) return undefined;
    return check(answer, 'fi_query_collective', 'the Domain');
  }
}
