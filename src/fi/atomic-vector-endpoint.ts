// fi_atomic(3) on several pieces of memory, and the calls with flags.
import {
  AtomicEndpoint,
  type AtomicName,
  type Datatype,
  datatypeBytes,
  datatypeNumber,
  noSuchAtomic,
  operationNumber,
} from './atomic-endpoint.js';
import { STATUS_UNSUPPORTED, rangeError, typeError, unsupportedError } from './errors.js';
import { addon } from './library.js';
import { Memory } from './memory.js';
import { enumName } from './names.js';
import { refusalOf } from './one-sided.js';
import { type Part, nameOf, putParts, putRemotes } from './parts.js';
import { type AtomicMessageOptions, type MessageOptions, putOptions } from './post.js';
import { registers } from './registers.js';
import type { RemoteMemory } from './remote-memory.js';

/** The typed arrays whose elements are those of a Datatype. */
export type AtomicArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

/**
 * Elements in a Memory, some of those that an operation uses (struct fi_ioc, with its descriptor): a typed array over
 * `memory.bytes.buffer`, or, for a datatype that JavaScript has no typed array for, where they lie and how many they are.
 */
export type Elements =
  | AtomicArray
  | {
      /** Where they lie. */
      readonly memory: Memory;
      /** Bytes from the start of the memory. */
      readonly offset: number;
      /** How many. */
      readonly count: number;
    };

/** The operands of an atomic operation, and what it is compared with and where its results go, by kind. */
export interface ElementLists {
  /** What is combined with the other side's elements. */
  operands: readonly Elements[];
  /** What those are compared with, as many elements as operands; of compareAtomic() and its like. */
  compares?: readonly Elements[] | undefined;
  /** Where the other side's elements go, as they were before; of all but atomic() and its like. */
  results?: readonly Elements[] | undefined;
}

// By the name of the typed array's kind, which is the same in every realm.
const datatypes: Readonly<Record<string, Datatype>> = {
  Int8Array: 'FI_INT8',
  Uint8Array: 'FI_UINT8',
  Int16Array: 'FI_INT16',
  Uint16Array: 'FI_UINT16',
  Int32Array: 'FI_INT32',
  Uint32Array: 'FI_UINT32',
  BigInt64Array: 'FI_INT64',
  BigUint64Array: 'FI_UINT64',
  Float32Array: 'FI_FLOAT',
  Float64Array: 'FI_DOUBLE',
};

/**
 * The datatype of a typed array's elements.
 *
 * @param argument - What the array is called in the error; default 'array'.
 * @throws TypeError for what is no typed array, or one of another kind.
 */
export function datatypeOf(array: AtomicArray, argument = 'array'): Datatype {
  const kind = ArrayBuffer.isView(array) ? String((array as Partial<AtomicArray>)[Symbol.toStringTag]) : '';
  const found = Object.hasOwn(datatypes, kind) ? datatypes[kind] : undefined;
  if (found === undefined)
    throw typeError(argument, array, `a typed array: ${Object.keys(datatypes).join(', ')}`);
  return found;
}

// The kinds, as native/atomic.h numbers them, and what is added for the forms with flags.
const KIND_ATOMIC = 0;
const KIND_FETCH = 1;
const KIND_COMPARE = 2;
const HAS_FLAGS = 4;

function partOf(list: string, index: number, elements: Elements, datatype: Datatype): Part {
  if (ArrayBuffer.isView(elements)) {
    const own = datatypeOf(elements);
    if (own !== datatype)
      throw typeError(nameOf(list, index), elements, `made of ${datatype}`, `Its elements are ${own}`);
    const memory = Memory.of(elements);
    if (memory === undefined)
      throw typeError(nameOf(list, index), elements, 'a typed array over the bytes.buffer of a Memory');
    return { memory, offset: elements.byteOffset, length: elements.length };
  }
  if (typeof elements !== 'object' || (elements as unknown) === null)
    throw typeError(nameOf(list, index), elements, 'a typed array, or { memory, offset, count }');
  const { memory, offset, count } = elements;
  return { memory, offset, length: count };
}

/** Puts one list into the registers; answers how many elements it has. */
function putList(
  name: string,
  list: readonly Elements[] | undefined,
  datatype: Datatype,
  most: number,
  first: number,
): number {
  if (!Array.isArray(list)) throw typeError(name, list, 'an array');
  const parts = (list as readonly Elements[]).map((elements, index) =>
    partOf(name, index, elements, datatype),
  );
  return putParts(name, parts, { least: 1, most }, first);
}

/**
 * Puts the lists of an operation of some kind into the registers, each of at most so many pieces; answers how many elements
 * each of them has.
 */
export function putLists(
  kind: number,
  { operands, compares, results }: ElementLists,
  datatype: Datatype,
  most: number,
): number {
  const count = putList('operands', operands, datatype, most, 0);
  let first = operands.length;
  const needed: [string, readonly Elements[] | undefined][] = [];
  if (kind === KIND_COMPARE) needed.push(['compares', compares]);
  if (kind !== KIND_ATOMIC) needed.push(['results', results]);
  for (const [what, list] of needed) {
    const own = putList(what, list, datatype, most, first);
    if (own !== count)
      throw rangeError(`the number of elements of ${what}`, own, `${String(count)}, as many as operands`);
    first += list?.length ?? 0;
  }
  return count;
}

function putFlags(endpoint: AtomicEndpoint, options: AtomicMessageOptions | undefined): void {
  // struct fi_msg_atomic has room for it, but no provider delivers it.
  if ((options as MessageOptions | undefined)?.immediate !== undefined)
    throw unsupportedError('atomics carry no remote CQ data: leave out options.immediate', 'fi_atomicmsg');
  putOptions(endpoint, options);
}

/**
 * The atomic calls of an Endpoint for several pieces of memory, and those with flags. Operands, results and what is compared
 * have as many elements in all; info.transmit.iovLimit says in how many pieces each of them may lie.
 */
export abstract class AtomicVectorEndpoint extends AtomicEndpoint {
  // The addon's exports are too many for V8 to look one up quickly.
  readonly #atomicVector = addon().atomicVector;

  #post(
    kind: number,
    call: string,
    lists: ElementLists,
    peer: number,
    remotes: readonly RemoteMemory[],
    datatype: Datatype,
    operation: AtomicName,
    context: number,
  ): boolean {
    const type = datatypeNumber(datatype);
    const name = enumName('datatype', type) as Datatype;
    const todo = operationNumber(operation);
    const count = putLists(kind & ~HAS_FLAGS, lists, name, this.info.transmit.iovLimit);
    const size = datatypeBytes(name);
    const limit = (kind & HAS_FLAGS) === 0 ? 1 : this.info.transmit.rmaIovLimit;
    const registersCall = registers().call;
    registersCall[9] = putRemotes(remotes, count * size, limit, size);
    registersCall[0] = this.handle;
    registersCall[1] = context;
    registersCall[2] = kind;
    registersCall[3] = type;
    registersCall[4] = todo;
    registersCall[5] = peer;
    registersCall[6] = lists.operands.length;
    registersCall[7] = lists.compares?.length ?? 0;
    registersCall[8] = lists.results?.length ?? 0;
    this.#atomicVector();
    const status = registersCall[0] | 0;
    if (status === STATUS_UNSUPPORTED) throw noSuchAtomic(call, type, todo);
    return refusalOf(status, call, 'FI_ATOMIC');
  }

  /**
   * `fi_atomicv(3)`: as atomic(), with operands in several pieces.
   *
   * @throws TypeError where a typed array is of another datatype, or over no Memory.
   * @throws RangeError for more pieces than info.transmit.iovLimit, or where `remote` has fewer elements.
   * @throws FabricError as atomic().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_atomic.3.html
   */
  atomicVector(
    operands: readonly Elements[],
    peer: number,
    remote: RemoteMemory,
    datatype: Datatype,
    operation: AtomicName,
    context: number,
  ): boolean {
    return this.#post(KIND_ATOMIC, 'fi_atomicv', { operands }, peer, [remote], datatype, operation, context);
  }

  /**
   * `fi_fetch_atomicv(3)`: as fetchAtomic(), with operands and results in several pieces.
   *
   * @throws as atomicVector(), and RangeError where results and operands differ in number.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_atomic.3.html
   */
  fetchAtomicVector(
    operands: readonly Elements[],
    results: readonly Elements[],
    peer: number,
    remote: RemoteMemory,
    datatype: Datatype,
    operation: AtomicName,
    context: number,
  ): boolean {
    const lists = { operands, results };
    return this.#post(KIND_FETCH, 'fi_fetch_atomicv', lists, peer, [remote], datatype, operation, context);
  }

  /**
   * `fi_compare_atomicv(3)`: as compareAtomic(), with operands, results and what is compared in several pieces.
   *
   * @throws as fetchAtomicVector().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_atomic.3.html
   */
  compareAtomicVector(
    operands: readonly Elements[],
    compares: readonly Elements[],
    results: readonly Elements[],
    peer: number,
    remote: RemoteMemory,
    datatype: Datatype,
    operation: AtomicName,
    context: number,
  ): boolean {
    const lists = { operands, compares, results };
    return this.#post(
      KIND_COMPARE,
      'fi_compare_atomicv',
      lists,
      peer,
      [remote],
      datatype,
      operation,
      context,
    );
  }

  /**
   * `fi_atomicmsg(3)`: as atomicVector(), on several pieces of the other side's memory, with flags.
   *
   * @param remotes - As many elements of them as there are operands, in their order; at most info.transmit.rmaIovLimit.
   * @throws as atomicVector(), RangeError for flags that are none of this call, and FabricError FI_EMSGSIZE for more than
   *   info.injectSize bytes with FI_INJECT; ERR_FABRIC_UNSUPPORTED for remote CQ data.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_atomic.3.html
   */
  atomicMessage(
    operands: readonly Elements[],
    peer: number,
    remotes: readonly RemoteMemory[],
    datatype: Datatype,
    operation: AtomicName,
    context: number,
    options?: AtomicMessageOptions,
  ): boolean {
    putFlags(this, options);
    const kind = KIND_ATOMIC | HAS_FLAGS;
    return this.#post(kind, 'fi_atomicmsg', { operands }, peer, remotes, datatype, operation, context);
  }

  /**
   * `fi_fetch_atomicmsg(3)`: as fetchAtomicVector(), on several pieces of the other side's memory, with flags.
   *
   * @throws as fetchAtomicVector() and atomicMessage().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_atomic.3.html
   */
  fetchAtomicMessage(
    operands: readonly Elements[],
    results: readonly Elements[],
    peer: number,
    remotes: readonly RemoteMemory[],
    datatype: Datatype,
    operation: AtomicName,
    context: number,
    options?: AtomicMessageOptions,
  ): boolean {
    putFlags(this, options);
    const kind = KIND_FETCH | HAS_FLAGS;
    const lists = { operands, results };
    return this.#post(kind, 'fi_fetch_atomicmsg', lists, peer, remotes, datatype, operation, context);
  }

  /**
   * `fi_compare_atomicmsg(3)`: as compareAtomicVector(), on several pieces of the other side's memory, with flags.
   *
   * @throws as fetchAtomicVector() and atomicMessage().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_atomic.3.html
   */
  compareAtomicMessage(
    operands: readonly Elements[],
    compares: readonly Elements[],
    results: readonly Elements[],
    peer: number,
    remotes: readonly RemoteMemory[],
    datatype: Datatype,
    operation: AtomicName,
    context: number,
    options?: AtomicMessageOptions,
  ): boolean {
    putFlags(this, options);
    const kind = KIND_COMPARE | HAS_FLAGS;
    const lists = { operands, compares, results };
    return this.#post(kind, 'fi_compare_atomicmsg', lists, peer, remotes, datatype, operation, context);
  }
}
