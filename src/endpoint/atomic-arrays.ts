// Typed arrays as libfabric's datatypes, and short names of its operations.
import { rangeError, typeError } from '../fi/errors.js';
import {
  type AtomicArray,
  type AtomicKind,
  type AtomicName,
  type Datatype,
  datatypeOf,
} from '../fi/index.js';

const combining: Readonly<Record<string, AtomicName>> = {
  min: 'FI_MIN',
  max: 'FI_MAX',
  sum: 'FI_SUM',
  prod: 'FI_PROD',
  lor: 'FI_LOR',
  land: 'FI_LAND',
  bor: 'FI_BOR',
  band: 'FI_BAND',
  lxor: 'FI_LXOR',
  bxor: 'FI_BXOR',
  write: 'FI_ATOMIC_WRITE',
};

const operations: Readonly<Record<AtomicKind, Readonly<Record<string, AtomicName>>>> = {
  atomic: combining,
  fetch: { ...combining, read: 'FI_ATOMIC_READ' },
  compare: {
    cswap: 'FI_CSWAP',
    cswapNe: 'FI_CSWAP_NE',
    cswapLe: 'FI_CSWAP_LE',
    cswapLt: 'FI_CSWAP_LT',
    cswapGe: 'FI_CSWAP_GE',
    cswapGt: 'FI_CSWAP_GT',
    mswap: 'FI_MSWAP',
  },
};

/** libfabric's name of an operation of one of the three forms. */
export function operationName(form: AtomicKind, operation: unknown): AtomicName {
  const names = operations[form];
  if (typeof operation === 'string' && Object.hasOwn(names, operation)) return names[operation];
  throw rangeError('operation', operation, `one of ${Object.keys(names).join(', ')}`);
}

/** The elements of a typed array, as the provider sees them. `bytes` are the array's own. */
export interface Elements {
  readonly datatype: Datatype;
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** A typed array of numbers that libfabric knows, with an element at least. */
export function checkElements(argument: string, array: unknown): Elements {
  const datatype = datatypeOf(array as AtomicArray, argument);
  const { buffer, byteOffset, byteLength, length } = array as AtomicArray;
  if (length === 0) throw rangeError(`${argument}.length`, length, 'at least one element');
  return { datatype, count: length, bytes: new Uint8Array(buffer, byteOffset, byteLength) };
}

/** What is compared, element by element, with what is there. */
export function checkCompared(operand: Elements, compare: unknown): Elements {
  const compared = checkElements('compare', compare);
  if (compared.datatype !== operand.datatype || compared.count !== operand.count)
    throw typeError(
      'compare',
      compare,
      `of the operand's kind and length: ${String(operand.count)} of ${operand.datatype}`,
    );
  return compared;
}

// eslint-disable-next-line @typescript-eslint/unbound-method -- called with its `this`, below
const { slice } = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;

/** A new array of the same kind and length. */
export function copyOf<A extends AtomicArray>(array: A): A {
  return slice.call(array as Uint8Array) as unknown as A;
}

/** Overwrites all elements of an array. */
export function setBytes({ buffer, byteOffset, byteLength }: AtomicArray, bytes: Uint8Array): void {
  new Uint8Array(buffer, byteOffset, byteLength).set(bytes);
}
