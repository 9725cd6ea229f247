// fi_trigger(3): operations that a domain keeps until a counter reaches a threshold.
import { type AtomicName, type Datatype, datatypeBytes, noSuchAtomic } from './atomic-endpoint.js';
import { type ElementLists, putLists } from './atomic-vector-endpoint.js';
import {
  FI_COMMIT_COMPLETE,
  FI_DELIVERY_COMPLETE,
  FI_FENCE,
  FI_INJECT_COMPLETE,
  FI_MATCH_COMPLETE,
  FI_NOOP,
  FI_OP_ATOMIC,
  FI_REMOTE_CQ_DATA,
  FI_TRANSMIT_COMPLETE,
  FI_VOID,
} from './constants.js';
import { Counter } from './counter.js';
import { Domain } from './domain.js';
import { Endpoint } from './endpoint.js';
import {
  STATUS_CIRCULAR,
  STATUS_UNSUPPORTED,
  check,
  checkUint64,
  isLacking,
  rangeError,
  statusError,
  typeError,
  unsupportedError,
} from './errors.js';
import { addon } from './library.js';
import { type Flags, enumName, enumValue } from './names.js';
import { FabricObject, NO_HANDLE } from './object.js';
import { type Part, putParts, putRemotes } from './parts.js';
import { checkFlags } from './post.js';
import type { RemoteMemory } from './remote-memory.js';

/** What all deferred operations on data have. */
export interface DeferredData {
  /** Whose operation it is; enabled, and, with most providers, opened with FI_TRIGGER. */
  endpoint: Endpoint;
  /**
   * FI_FENCE, FI_INJECT_COMPLETE, FI_TRANSMIT_COMPLETE, FI_DELIVERY_COMPLETE, FI_MATCH_COMPLETE, FI_COMMIT_COMPLETE, as a
   * bigint or by name; default none.
   */
  flags?: Flags | undefined;
}

/** A message that is to be sent (struct fi_op_msg, struct fi_op_tagged). */
export interface DeferredSend extends DeferredData {
  /** A C name of enum fi_op_type. */
  type: 'FI_OP_SEND' | 'FI_OP_TSEND';
  /** The pieces of memory, in their order. */
  parts: readonly Part[];
  /** Its address in the endpoint's AddressVector. */
  peer: number;
  /** Of FI_OP_TSEND. */
  tag?: bigint | undefined;
  /** Remote CQ data, up to the domain's immediateSize bytes. */
  immediate?: bigint | undefined;
}

/** A buffer that is to be posted for a message (struct fi_op_msg, struct fi_op_tagged). */
export interface DeferredReceive extends DeferredData {
  /** A C name of enum fi_op_type. */
  type: 'FI_OP_RECV' | 'FI_OP_TRECV';
  /** The pieces of memory, in their order. */
  parts: readonly Part[];
  /** Default: anybody. */
  peer?: number | undefined;
  /** Of FI_OP_TRECV. */
  tag?: bigint | undefined;
  /** Of FI_OP_TRECV: bits of the tag that need not match; default none. */
  ignore?: bigint | undefined;
}

/** A read or a write of a peer's memory (struct fi_op_rma). */
export interface DeferredTransfer extends DeferredData {
  /** A C name of enum fi_op_type. */
  type: 'FI_OP_READ' | 'FI_OP_WRITE';
  /** The pieces of memory, in their order. */
  parts: readonly Part[];
  /** Its address in the endpoint's AddressVector. */
  peer: number;
  /** As many bytes of them as the parts have, in their order; at most info.transmit.rmaIovLimit. */
  remotes: readonly RemoteMemory[];
  /** Of FI_OP_WRITE. */
  immediate?: bigint | undefined;
}

/** An atomic operation (struct fi_op_atomic, struct fi_op_fetch_atomic, struct fi_op_compare_atomic). */
export interface DeferredAtomic extends DeferredData, ElementLists {
  /** A C name of enum fi_op_type. */
  type: 'FI_OP_ATOMIC' | 'FI_OP_FETCH_ATOMIC' | 'FI_OP_COMPARE_ATOMIC';
  /** Its address in the endpoint's AddressVector. */
  peer: number;
  /** As many elements of it as there are operands. */
  remote: RemoteMemory;
  /** What the elements are. */
  datatype: Datatype;
  /** What is done with them. */
  operation: AtomicName;
}

/** A change of a counter (struct fi_op_cntr). */
export interface DeferredChange {
  /** A C name of enum fi_op_type. */
  type: 'FI_OP_CNTR_SET' | 'FI_OP_CNTR_ADD';
  /** Of the same Domain. */
  counter: Counter;
  /** What it is set to, or how much is added. */
  value: bigint | number;
}

/** What is to be done. */
export type DeferredOperation =
  DeferredSend | DeferredReceive | DeferredTransfer | DeferredAtomic | DeferredChange;

/** An operation, and when it is to start (struct fi_deferred_work). */
export interface DeferredWorkOptions {
  /** The counter that is waited for (triggering_cntr). */
  counter: Counter;
  /** It starts once the counter's value and its errors together are as many. */
  threshold: bigint | number;
  /** The counter that counts when an operation on data is done (completion_cntr); none for a change of a counter. */
  completion?: Counter | undefined;
  /** What is to be done. */
  operation: DeferredOperation;
}

// No FI_COMPLETION: a CompletionQueue tells of operations that have a context of its own.
const WORK_FLAGS =
  FI_FENCE |
  FI_INJECT_COMPLETE |
  FI_TRANSMIT_COMPLETE |
  FI_DELIVERY_COMPLETE |
  FI_MATCH_COMPLETE |
  FI_COMMIT_COMPLETE;

type WorkArguments = Parameters<ReturnType<typeof addon>['queueWork']>[1];

function checkCounter(argument: string, counter: unknown, domain: Domain): Counter {
  if (!(counter instanceof Counter)) throw typeError(argument, counter, 'a Counter');
  domain.checkOwns(argument, counter);
  return counter;
}

/** What the operation names; the pieces of memory go into the registers. */
function describe(
  operation: Exclude<DeferredOperation, DeferredChange>,
  type: number,
): Partial<WorkArguments> {
  const { transmit, receive } = operation.endpoint.info;
  const limits = { least: 1, most: transmit.iovLimit };
  switch (operation.type) {
    case 'FI_OP_RECV':
    case 'FI_OP_TRECV': {
      const { parts, peer = -1, tag = 0n, ignore = 0n } = operation;
      putParts('operation.parts', parts, { least: 1, most: receive.iovLimit });
      return {
        peer,
        operands: parts.length,
        tag: checkUint64('tag', tag),
        ignore: checkUint64('ignore', ignore),
      };
    }
    case 'FI_OP_SEND':
    case 'FI_OP_TSEND': {
      const { parts, peer, tag = 0n } = operation;
      putParts('operation.parts', parts, limits);
      return { peer, operands: parts.length, tag: checkUint64('tag', tag) };
    }
    case 'FI_OP_READ':
    case 'FI_OP_WRITE': {
      const { parts, peer, remotes } = operation;
      const length = putParts('operation.parts', parts, limits);
      return { peer, operands: parts.length, remotes: putRemotes(remotes, length, transmit.rmaIovLimit) };
    }
    default: {
      const { peer, remote, datatype } = operation;
      const number = enumValue('datatype', datatype, 'operation.datatype');
      const name = enumName('datatype', number) as Datatype;
      const size = datatypeBytes(name);
      const count = putLists(type - FI_OP_ATOMIC, operation, name, transmit.iovLimit);
      return {
        peer,
        operands: operation.operands.length,
        compares: operation.compares?.length ?? 0,
        results: operation.results?.length ?? 0,
        remotes: putRemotes([remote], count * size, 1, size),
        datatype: number,
        operation: enumValue('atomicOperation', operation.operation, 'operation.operation'),
      };
    }
  }
}

function checkImmediate(operation: DeferredOperation): bigint | undefined {
  const { immediate } = operation as Partial<DeferredSend>;
  if (immediate === undefined) return undefined;
  if (!['FI_OP_SEND', 'FI_OP_TSEND', 'FI_OP_WRITE'].includes(operation.type))
    throw rangeError('operation.immediate', immediate, `left out with ${operation.type}`);
  return checkUint64('operation.immediate', immediate);
}

/** The arguments of an operation, and what it needs beside the two counters that say when. */
function argumentsOf(
  domain: Domain,
  operation: DeferredOperation,
): { args: Partial<WorkArguments>; type: number; subject: Counter | Endpoint } {
  const type = enumValue('deferredOperation', operation.type, 'operation.type');
  if ('counter' in operation) {
    const subject = checkCounter('operation.counter', operation.counter, domain);
    return { args: { value: checkUint64('operation.value', operation.value) }, type, subject };
  }
  const { endpoint } = operation;
  if (!(endpoint instanceof Endpoint)) throw typeError('operation.endpoint', endpoint, 'an Endpoint');
  domain.checkOwns('operation.endpoint', endpoint);
  const flags = checkFlags(operation.flags, WORK_FLAGS, 'operation.flags');
  const immediate = checkImmediate(operation);
  const args = {
    ...describe(operation, type),
    value: immediate ?? 0n,
    flags: immediate === undefined ? flags : flags | FI_REMOTE_CQ_DATA,
  };
  return { args, type, subject: endpoint };
}

function refusal(status: number, { operation }: DeferredWorkOptions): Error {
  const call = 'fi_control with FI_QUEUE_WORK';
  const { type } = operation;
  if (status === STATUS_CIRCULAR && 'counter' in operation)
    return rangeError(
      'operation.counter',
      operation.counter,
      'a Counter whose changes do not lead back to `counter`',
      'The provider would wait for itself',
    );
  if (status === STATUS_UNSUPPORTED && 'datatype' in operation)
    return noSuchAtomic(
      call,
      enumValue('datatype', operation.datatype, 'datatype'),
      enumValue('atomicOperation', operation.operation, 'operation'),
    );
  if (isLacking(status)) return unsupportedError(`the provider defers no ${type}`, call);
  return statusError(status, call, `${type}; its objects have to be open, and the Endpoint enabled`);
}

// The provider has them, whether the program still does or not.
const queued = new Set<DeferredWork>();

/**
 * An operation in the queue of a Domain that starts when a Counter reaches a threshold (struct fi_deferred_work): the
 * building block of collective operations that need no program in between. What it names can neither be closed nor freed
 * before it: its Endpoint, its counters, its memory.
 *
 * It has no completion of its own in a CompletionQueue. The program knows from the counter `completion` that it is done,
 * and says so by retire(), after which close() lets go of everything. An operation that fails may be counted by nobody.
 */
export class DeferredWork extends FabricObject {
  private constructor(handle: number, parents: readonly FabricObject[]) {
    super(handle, 'DeferredWork', parents);
    queued.add(this);
  }

  /**
   * `fi_control(3)` with FI_QUEUE_WORK: queues an operation. Where the counter is there already, it starts at once.
   *
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider defers no such operation.
   * @throws RangeError for objects of another Domain, and for a change of a Counter that would lead back to itself.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_trigger.3.html
   */
  static queue(domain: Domain, options: DeferredWorkOptions): DeferredWork {
    if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
    const trigger = checkCounter('counter', options.counter, domain);
    const threshold = checkUint64('threshold', options.threshold);
    const { operation } = options;
    if (typeof operation !== 'object' || (operation as unknown) === null)
      throw typeError('operation', operation, 'an object with the type of an operation');
    const { args, type, subject } = argumentsOf(domain, operation);
    const { completion } = options;
    if (subject instanceof Counter && completion !== undefined)
      throw rangeError('completion', completion, `left out with ${operation.type}, which it would not count`);
    const counted = subject instanceof Counter ? [] : [checkCounter('completion', completion, domain)];
    const status = addon().queueWork(domain.handle, {
      ...{
        peer: -1,
        operands: 0,
        compares: 0,
        results: 0,
        remotes: 0,
        datatype: FI_VOID,
        operation: FI_NOOP,
      },
      ...{ flags: 0n, value: 0n, tag: 0n, ignore: 0n },
      ...args,
      type,
      threshold,
      trigger: trigger.handle,
      completion: counted[0]?.handle ?? NO_HANDLE,
      subject: subject.handle,
    });
    if (status < 0) throw refusal(status, options);
    return new DeferredWork(status, [domain, trigger, subject, ...counted]);
  }

  /**
   * `fi_control(3)` with FI_FLUSH_WORK: cancels all operations of the domain that wait, or those that wait for one counter.
   * Their close() lets go of what they hold.
   *
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider cannot.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_trigger.3.html
   */
  static flush(domain: Domain, counter?: Counter): void {
    if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
    const only = counter === undefined ? NO_HANDLE : checkCounter('counter', counter, domain).handle;
    const call = 'fi_control with FI_FLUSH_WORK';
    const status = addon().flushWork(domain.handle, only);
    if (isLacking(status)) throw unsupportedError('the provider flushes no deferred work', call);
    check(status, call, 'the Domain or the Counter');
  }

  /**
   * Says that it is done, which the program knows from the counter `completion`, or, of a change of a counter, from that.
   * No C call: C leaves it to the program to know. Earlier, the provider may still use the memory.
   *
   * @throws FabricError ERR_FABRIC_BUSY where the counter that it waits for has not reached the threshold.
   */
  retire(): void {
    check(addon().retireWork(this.handle), 'retire', 'the DeferredWork');
  }

  /**
   * `fi_control(3)` with FI_CANCEL_WORK, unless it was retired or flushed; then what it names is no longer in use.
   *
   * @throws FabricError ERR_FABRIC_BUSY where the provider cannot cancel it: raise the counter that it waits for, and
   *   retire() it.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_trigger.3.html
   */
  override async close(): Promise<void> {
    await super.close();
    queued.delete(this);
  }
}
