// fi_collective(3): operations that all members of a group make.
import { type AtomicName, type Datatype } from './atomic-endpoint.js';
import { AddressVectorSet, CollectiveGroup } from './av-set.js';
import * as C from './constants.js';
import {
  STATUS_NO_SUCH_PEER,
  STATUS_UNSUPPORTED,
  type FabricError,
  addressError,
  checkInteger,
  noEventQueueError,
  refusedError,
  statusError,
  typeError,
  unsupportedError,
} from './errors.js';
import type { EventQueue } from './event-queue.js';
import { addon } from './library.js';
import { Memory } from './memory.js';
import { enumValue } from './names.js';
import { NO_HANDLE } from './object.js';
import { answerOf } from './one-sided.js';
import { OptionEndpoint } from './option-endpoint.js';
import { registers } from './registers.js';

// As enum fi_collective_op numbers them.
const calls = [
  ...['fi_barrier', 'fi_broadcast', 'fi_alltoall', 'fi_allreduce', 'fi_allgather', 'fi_reduce_scatter'],
  ...['fi_reduce', 'fi_scatter', 'fi_gather'],
];

/** Why an endpoint could not join. */
function joinError(status: number): FabricError {
  const call = 'fi_join_collective';
  switch (status) {
    case STATUS_UNSUPPORTED:
    case -C.FI_ENOSYS:
      return unsupportedError(
        'the provider has no collectives, or the Endpoint was opened without FI_COLLECTIVE',
        call,
      );
    case STATUS_NO_SUCH_PEER:
      return addressError(
        `${call}: the Endpoint's own address is none of the set, or the set is of another AddressVector than its own`,
        call,
      );
    case -C.FI_ENOEQ:
      return noEventQueueError(call);
    case -C.FI_EINVAL:
      return refusedError(
        'the parent is a group of another Endpoint, or not all of it have joined yet',
        C.FI_EINVAL,
        call,
      );
    default:
      return statusError(status, call, 'the Endpoint, which has to be enabled, the set or the parent');
  }
}

/** Where the elements of a collective operation lie, and what they are. */
export interface CollectiveData {
  /** Of the elements that are read, and of the result. */
  memory: Memory;
  /** Of the first element that is read, in bytes; default 0. */
  offset?: number;
  /** Of the first element of the result, in bytes; default 0. */
  resultOffset?: number;
  /** Elements: of one member, where members have different ones. */
  count: number;
  /** A C name of enum fi_datatype. */
  datatype: Datatype;
}

/**
 * The collective calls of an Endpoint (fi_collective(3)), for those opened with FI_COLLECTIVE. Each member of the group makes
 * the same calls in the same order. As all data calls they never block: false where the provider has no room now; the
 * completion is one of the transmit queue's, whose context is given. Results lie in the order of `group.members`, whose
 * number is n below.
 */
export abstract class CollectiveEndpoint extends OptionEndpoint {
  /** @internal The queue that tells that all have joined. */
  boundEvents: EventQueue | undefined;
  readonly #collective = addon().collective;

  /**
   * `fi_join_collective(3)`: joins the other members of a set, each of which does the same. The EventQueue tells with
   * FI_JOIN_COMPLETE, whose source is the group, when all have; before that nothing can be done with it.
   *
   * @param set - Of the AddressVector that the endpoint is bound to; the endpoint's own address is one of it.
   * @param parent - A group of the endpoint's that all of them are members of; default: the set itself (fi_av_set_addr).
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has no collectives or the Endpoint was opened without
   *   FI_COLLECTIVE; ERR_FABRIC_ADDRESS where the endpoint is no member of the set; FI_ENOEQ where no EventQueue is bound.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_collective.3.html
   */
  async joinCollective(set: AddressVectorSet, parent?: CollectiveGroup): Promise<CollectiveGroup> {
    if (!(set instanceof AddressVectorSet)) throw typeError('set', set, 'an AddressVectorSet');
    if (parent !== undefined && !(parent instanceof CollectiveGroup))
      throw typeError('parent', parent, 'a CollectiveGroup');
    const answer = addon().joinCollective(this.handle, set.handle, parent?.handle ?? NO_HANDLE);
    if (typeof answer === 'number') throw joinError(answer);
    const { boundEvents } = this;
    const parents = [
      ...(boundEvents === undefined ? [] : [boundEvents]),
      ...(parent === undefined ? [] : [parent]),
    ];
    const group = new CollectiveGroup(answer.handle, set, parents);
    // At once: all may have joined, and the event be read, before this call is over.
    boundEvents?.attach(group);
    const status = await answer.opening;
    if (status >= 0) return group;
    group.neverOpened();
    throw joinError(status);
  }

  #post(
    kind: number,
    group: CollectiveGroup,
    data: CollectiveData,
    context: number,
    root: number,
    operation: AtomicName | undefined,
  ): boolean {
    if (!(group instanceof CollectiveGroup)) throw typeError('group', group, 'a CollectiveGroup');
    const { memory, offset = 0, resultOffset = 0, count, datatype } = data;
    if (!(memory instanceof Memory)) throw typeError('data.memory', memory, 'a Memory');
    const { call } = registers();
    const groupHandle = group.handle;
    call[0] = this.handle;
    call[1] = checkInteger('context', context, 0, 2 ** 31 - 1);
    call[2] = memory.handle;
    call[3] = checkInteger('data.offset', offset, 0, Number.MAX_SAFE_INTEGER);
    call[4] = checkInteger('data.count', count, 0, 2 ** 32 - 1);
    call[5] = groupHandle;
    call[6] = checkInteger('data.resultOffset', resultOffset, 0, Number.MAX_SAFE_INTEGER);
    call[7] = checkInteger('root', root, 0, 2 ** 31 - 1);
    call[8] = enumValue('datatype', datatype, 'data.datatype');
    call[9] = operation === undefined ? C.FI_NOOP : enumValue('atomicOperation', operation, 'operation');
    call[10] = kind;
    this.#collective();
    const status = call[0] | 0;
    if (status === 0) return true;
    const name = calls[kind];
    if (status === -C.FI_EOPBADSTATE)
      throw refusedError('not all members have joined yet', C.FI_EOPBADSTATE, name);
    if (status === STATUS_NO_SUCH_PEER)
      throw addressError(`${name}: the root is no member of the group`, name);
    if (status === STATUS_UNSUPPORTED)
      throw unsupportedError(
        `the provider has no ${name} of ${datatype}${operation === undefined ? '' : ` with ${operation}`} ` +
          'for so many members, or the Endpoint was opened without FI_COLLECTIVE',
        name,
      );
    return answerOf(status, name, memory, 'FI_COLLECTIVE');
  }

  /**
   * `fi_barrier(3)`: completes once all members have made it.
   *
   * @param memory - Any; nothing of it is read or written.
   * @throws FabricError FI_EOPBADSTATE before FI_JOIN_COMPLETE was read; ERR_FABRIC_UNSUPPORTED where the provider lacks it.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_collective.3.html
   */
  barrier(group: CollectiveGroup, memory: Memory, context: number): boolean {
    return this.#post(C.FI_BARRIER, group, { memory, count: 0, datatype: 'FI_UINT8' }, context, 0, undefined);
  }

  /**
   * `fi_broadcast(3)`: `count` elements of the root become everybody's, at `offset`. The provider cuts them into n equal parts:
   * the memory needs room up to the next multiple of n, of which the rest has no defined content afterwards.
   *
   * @param root - The address of the member.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_collective.3.html
   */
  broadcast(group: CollectiveGroup, data: CollectiveData, root: number, context: number): boolean {
    return this.#post(C.FI_BROADCAST, group, data, context, root, undefined);
  }

  /**
   * `fi_alltoall(3)`: of n times `count` elements each member gets its part from each.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_collective.3.html
   */
  alltoall(group: CollectiveGroup, data: CollectiveData, context: number): boolean {
    return this.#post(C.FI_ALLTOALL, group, data, context, 0, undefined);
  }

  /**
   * `fi_allreduce(3)`: `count` elements of all members, combined, become everybody's.
   *
   * @param operation - FI_MIN to FI_BXOR, as Domain.queryCollective() has it.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_collective.3.html
   */
  allreduce(group: CollectiveGroup, data: CollectiveData, operation: AtomicName, context: number): boolean {
    return this.#post(C.FI_ALLREDUCE, group, data, context, 0, operation);
  }

  /**
   * `fi_allgather(3)`: `count` elements of each member, in the order of `group.members`, become everybody's: n times `count`.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_collective.3.html
   */
  allgather(group: CollectiveGroup, data: CollectiveData, context: number): boolean {
    return this.#post(C.FI_ALLGATHER, group, data, context, 0, undefined);
  }

  /**
   * `fi_reduce_scatter(3)`: n times `count` elements of all members are combined; each member gets its part.
   *
   * @param operation - FI_MIN to FI_BXOR, as Domain.queryCollective() has it.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_collective.3.html
   */
  reduceScatter(
    group: CollectiveGroup,
    data: CollectiveData,
    operation: AtomicName,
    context: number,
  ): boolean {
    return this.#post(C.FI_REDUCE_SCATTER, group, data, context, 0, operation);
  }

  /**
   * `fi_reduce(3)`: `count` elements of all members, combined, become the root's.
   *
   * @param root - The address of the member.
   * @param operation - FI_MIN to FI_BXOR, as Domain.queryCollective() has it.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_collective.3.html
   */
  reduce(
    group: CollectiveGroup,
    data: CollectiveData,
    root: number,
    operation: AtomicName,
    context: number,
  ): boolean {
    return this.#post(C.FI_REDUCE, group, data, context, root, operation);
  }

  /**
   * `fi_scatter(3)`: of n times `count` elements of the root each member gets its part.
   *
   * @param root - The address of the member.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_collective.3.html
   */
  scatter(group: CollectiveGroup, data: CollectiveData, root: number, context: number): boolean {
    return this.#post(C.FI_SCATTER, group, data, context, root, undefined);
  }

  /**
   * `fi_gather(3)`: `count` elements of each member, in the order of `group.members`, become the root's: n times `count`.
   *
   * @param root - The address of the member.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_collective.3.html
   */
  gather(group: CollectiveGroup, data: CollectiveData, root: number, context: number): boolean {
    return this.#post(C.FI_GATHER, group, data, context, root, undefined);
  }
}

/** A C name of enum fi_collective_op. */
export type CollectiveName =
  | 'FI_BARRIER'
  | 'FI_BROADCAST'
  | 'FI_ALLTOALL'
  | 'FI_ALLREDUCE'
  | 'FI_ALLGATHER'
  | 'FI_REDUCE_SCATTER'
  | 'FI_REDUCE'
  | 'FI_SCATTER'
  | 'FI_GATHER';
