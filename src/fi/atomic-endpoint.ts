// fi_atomic(3): operations on memory of another process that nobody else comes between.
import { addon } from './library.js';
import { type FabricError, STATUS_UNSUPPORTED, check, rangeError, unsupportedError } from './errors.js';
import type { Memory } from './memory.js';
import { enumName, enumValue } from './names.js';
import { MessageEndpoint } from './message-endpoint.js';
import { aim, answerOf } from './one-sided.js';
import { registers } from './registers.js';
import type { RemoteMemory } from './remote-memory.js';

/** enum fi_datatype: what the elements are. */
export type Datatype =
  | 'FI_INT8'
  | 'FI_UINT8'
  | 'FI_INT16'
  | 'FI_UINT16'
  | 'FI_INT32'
  | 'FI_UINT32'
  | 'FI_INT64'
  | 'FI_UINT64'
  | 'FI_FLOAT'
  | 'FI_DOUBLE'
  | 'FI_FLOAT_COMPLEX'
  | 'FI_DOUBLE_COMPLEX'
  | 'FI_LONG_DOUBLE'
  | 'FI_LONG_DOUBLE_COMPLEX'
  | 'FI_INT128'
  | 'FI_UINT128'
  | 'FI_FLOAT16'
  | 'FI_BFLOAT16'
  | 'FI_FLOAT8_E4M3'
  | 'FI_FLOAT8_E5M2';

/** enum fi_op: what is done with them. */
export type AtomicName =
  | 'FI_MIN'
  | 'FI_MAX'
  | 'FI_SUM'
  | 'FI_PROD'
  | 'FI_LOR'
  | 'FI_LAND'
  | 'FI_BOR'
  | 'FI_BAND'
  | 'FI_LXOR'
  | 'FI_BXOR'
  | 'FI_ATOMIC_READ'
  | 'FI_ATOMIC_WRITE'
  | 'FI_CSWAP'
  | 'FI_CSWAP_NE'
  | 'FI_CSWAP_LE'
  | 'FI_CSWAP_LT'
  | 'FI_CSWAP_GE'
  | 'FI_CSWAP_GT'
  | 'FI_MSWAP'
  | 'FI_DIFF';

/** The three forms of an atomic operation: atomic(), fetchAtomic(), compareAtomic(). */
export type AtomicKind = 'atomic' | 'fetch' | 'compare';

// As native/atomic.cc numbers and sizes them.
const KIND_ATOMIC = 0;
const KIND_FETCH = 1;
const KIND_COMPARE = 2;
const KIND_INJECT = 3;
const kinds: readonly AtomicKind[] = ['atomic', 'fetch', 'compare'];
const sizes = [1, 1, 2, 2, 4, 4, 8, 8, 4, 8, 8, 16, 16, 32, 16, 16, 2, 2, 1, 1];

export const datatypeNumber = (datatype: Datatype): number => enumValue('datatype', datatype, 'datatype');
export const operationNumber = (operation: AtomicName): number =>
  enumValue('atomicOperation', operation, 'operation');

/** What a provider that lacks an operation is answered with. */
export function noSuchAtomic(call: string, datatype: number, operation: number): FabricError {
  return unsupportedError(
    `the provider has no ${call} of ${enumName('datatype', datatype)} with ` +
      `${enumName('atomicOperation', operation)}, or the Endpoint was opened without FI_ATOMIC`,
    call,
  );
}

/** Bytes of one element. */
export function datatypeBytes(datatype: Datatype): number {
  const size = sizes[datatypeNumber(datatype)];
  if (size === undefined) throw rangeError('datatype', datatype, 'a C name of enum fi_datatype');
  return size;
}

/**
 * The atomic calls of an Endpoint (fi_atomic(3)), for those opened with FI_ATOMIC. As all data calls they never block:
 * false where the provider has no room now. `count` elements of a datatype lie at `offset` in `memory`, and in the other
 * side's memory from where `remote` starts, both at multiples of their size. Results and what is compared lie in the same
 * `memory`. Its views as typed arrays are the elements: an Int32Array FI_INT32, a BigUint64Array FI_UINT64, and so on.
 */
export abstract class AtomicEndpoint extends MessageEndpoint {
  // The addon's exports are too many for V8 to look one up quickly.
  readonly #atomic = addon().atomic;

  /**
   * `fi_atomicvalid(3)`, `fi_fetch_atomicvalid(3)` or `fi_compare_atomicvalid(3)`: how many elements one operation may
   * have; 0 where the provider has no such operation, or the endpoint was opened without FI_ATOMIC.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_atomic.3.html
   */
  atomicLimit(kind: AtomicKind, datatype: Datatype, operation: AtomicName): number {
    const number = kinds.indexOf(kind);
    if (number < 0) throw rangeError('kind', kind, "'atomic', 'fetch' or 'compare'");
    const limit = addon().atomicLimit(
      this.handle,
      number,
      datatypeNumber(datatype),
      operationNumber(operation),
    );
    return check(limit, 'fi_atomicvalid', 'the Endpoint is not enabled: it');
  }

  #post(
    kind: number,
    call: string,
    memory: Memory,
    offset: number,
    count: number,
    peer: number,
    remote: RemoteMemory,
    datatype: Datatype,
    operation: AtomicName,
  ): boolean {
    const type = datatypeNumber(datatype);
    const todo = operationNumber(operation);
    aim(remote, count * (sizes[type] ?? 1));
    const registersCall = registers().call;
    registersCall[0] = this.handle;
    registersCall[2] = memory.handle;
    registersCall[3] = offset;
    registersCall[4] = count;
    registersCall[5] = peer;
    registersCall[6] = type;
    registersCall[7] = todo;
    registersCall[8] = kind;
    this.#atomic();
    const status = registersCall[0] | 0;
    if (status === STATUS_UNSUPPORTED) throw noSuchAtomic(call, type, todo);
    return answerOf(status, call, memory, 'FI_ATOMIC');
  }

  /**
   * `fi_atomic(3)`: combines `count` elements of `memory` with those of the other side, which become the result.
   *
   * @param operation - FI_MIN to FI_BXOR, or FI_ATOMIC_WRITE.
   * @throws RangeError where `remote` has fewer elements.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has no such operation; FI_EMSGSIZE above atomicLimit().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_atomic.3.html
   */
  atomic(
    memory: Memory,
    offset: number,
    count: number,
    peer: number,
    remote: RemoteMemory,
    datatype: Datatype,
    operation: AtomicName,
    context: number,
  ): boolean {
    registers().call[1] = context;
    return this.#post(KIND_ATOMIC, 'fi_atomic', memory, offset, count, peer, remote, datatype, operation);
  }

  /**
   * `fi_inject_atomic(3)`: as atomic(), for up to info.injectSize bytes, reusable at once, without a completion.
   *
   * @throws FabricError FI_EMSGSIZE above info.injectSize; otherwise as atomic().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_atomic.3.html
   */
  injectAtomic(
    memory: Memory,
    offset: number,
    count: number,
    peer: number,
    remote: RemoteMemory,
    datatype: Datatype,
    operation: AtomicName,
  ): boolean {
    return this.#post(
      KIND_INJECT,
      'fi_inject_atomic',
      memory,
      offset,
      count,
      peer,
      remote,
      datatype,
      operation,
    );
  }

  /**
   * `fi_fetch_atomic(3)`: as atomic(), and puts what the other side had before at `resultOffset` of `memory`.
   *
   * @param operation - FI_MIN to FI_BXOR, FI_ATOMIC_WRITE, or FI_ATOMIC_READ, which leaves the other side as it is.
   * @throws as atomic().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_atomic.3.html
   */
  fetchAtomic(
    memory: Memory,
    offset: number,
    count: number,
    resultOffset: number,
    peer: number,
    remote: RemoteMemory,
    datatype: Datatype,
    operation: AtomicName,
    context: number,
  ): boolean {
    const { call } = registers();
    call[1] = context;
    call[9] = resultOffset;
    return this.#post(
      KIND_FETCH,
      'fi_fetch_atomic',
      memory,
      offset,
      count,
      peer,
      remote,
      datatype,
      operation,
    );
  }

  /**
   * `fi_compare_atomic(3)`: writes each element of `memory` over the other side's where that one compares with the element
   * at `compareOffset`, and puts what the other side had before at `resultOffset`. FI_MSWAP writes the bits that are set
   * in the element at `compareOffset`.
   *
   * @param operation - FI_CSWAP to FI_MSWAP.
   * @throws as atomic().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_atomic.3.html
   */
  compareAtomic(
    memory: Memory,
    offset: number,
    count: number,
    compareOffset: number,
    resultOffset: number,
    peer: number,
    remote: RemoteMemory,
    datatype: Datatype,
    operation: AtomicName,
    context: number,
  ): boolean {
    const { call } = registers();
    call[1] = context;
    call[9] = resultOffset;
    call[10] = compareOffset;
    return this.#post(
      KIND_COMPARE,
      'fi_compare_atomic',
      memory,
      offset,
      count,
      peer,
      remote,
      datatype,
      operation,
    );
  }
}
