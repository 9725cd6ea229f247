// What libfabric says of itself: its variables (fi_getparams(3)), and its words for values (fi_tostr(3)).
import { types } from 'node:util';
import * as C from './constants.js';
import { checkEnvironment } from './environment.js';
import {
  STATUS_UNSUPPORTED,
  checkInteger,
  checkUint64,
  rangeError,
  statusError,
  unsupportedError,
} from './errors.js';
import type { Info } from './info.js';
import { addon } from './library.js';
import { fi_type } from './generated/enumeration-names.js';
import { enumName } from './names.js';

/** A variable of the environment that libfabric or a provider reads (fi_getparams(3)). */
export interface Parameter {
  /** Such as 'FI_TCP_IFACE'. */
  readonly name: string;
  /** A C name of enum fi_param_type, such as 'FI_PARAM_INT'. */
  readonly type: string;
  /** What it is for, in libfabric's words. */
  readonly help: string;
  /** Its value; undefined where it is not set. */
  readonly value: string | undefined;
}

/**
 * `fi_getparams(3)` and `fi_freeparams(3)`: the variables of the environment that libfabric and its providers read. Loads the
 * providers, as the first getInfo() does, off the JavaScript thread.
 *
 * @throws FabricError ERR_FABRIC_UNAVAILABLE where libfabric is missing; ERR_FABRIC_ENVIRONMENT where a variable would
 *   make the efa provider end the process.
 * @see https://ofiwg.github.io/libfabric/main/man/fi_provider.7.html
 */
export async function getParams(): Promise<Parameter[]> {
  checkEnvironment();
  const found = await addon().parameters();
  if (found === STATUS_UNSUPPORTED)
    throw unsupportedError('this libfabric has no fi_getparams', 'fi_getparams');
  if (typeof found === 'number') throw statusError(found, 'fi_getparams');
  return found.map(({ name, type, help, value }) => ({
    name: name ?? '',
    type: enumName('parameterType', type),
    help: help ?? '',
    value,
  }));
}

/** What toStr() puts into words: C names of enum fi_type. */
export type TextType =
  | 'FI_TYPE_INFO'
  | 'FI_TYPE_EP_TYPE'
  | 'FI_TYPE_CAPS'
  | 'FI_TYPE_OP_FLAGS'
  | 'FI_TYPE_ADDR_FORMAT'
  | 'FI_TYPE_TX_ATTR'
  | 'FI_TYPE_RX_ATTR'
  | 'FI_TYPE_EP_ATTR'
  | 'FI_TYPE_DOMAIN_ATTR'
  | 'FI_TYPE_FABRIC_ATTR'
  | 'FI_TYPE_THREADING'
  | 'FI_TYPE_PROGRESS'
  | 'FI_TYPE_PROTOCOL'
  | 'FI_TYPE_MSG_ORDER'
  | 'FI_TYPE_MODE'
  | 'FI_TYPE_AV_TYPE'
  | 'FI_TYPE_ATOMIC_TYPE'
  | 'FI_TYPE_ATOMIC_OP'
  | 'FI_TYPE_VERSION'
  | 'FI_TYPE_EQ_EVENT'
  | 'FI_TYPE_CQ_EVENT_FLAGS'
  | 'FI_TYPE_MR_MODE'
  | 'FI_TYPE_OP_TYPE'
  | 'FI_TYPE_FID'
  | 'FI_TYPE_COLLECTIVE_OP'
  | 'FI_TYPE_HMEM_IFACE'
  | 'FI_TYPE_CQ_FORMAT'
  | 'FI_TYPE_LOG_LEVEL'
  | 'FI_TYPE_LOG_SUBSYS'
  | 'FI_TYPE_AV_ATTR'
  | 'FI_TYPE_CQ_ATTR'
  | 'FI_TYPE_MR_ATTR'
  | 'FI_TYPE_CNTR_ATTR'
  | 'FI_TYPE_CQ_ERR_ENTRY'
  | 'FI_TYPE_CQ_WAIT_COND'
  | 'FI_TYPE_WAIT_OBJ';

const ofInfo: readonly number[] = [
  ...[C.FI_TYPE_INFO, C.FI_TYPE_TX_ATTR, C.FI_TYPE_RX_ATTR, C.FI_TYPE_EP_ATTR, C.FI_TYPE_DOMAIN_ATTR],
  ...[C.FI_TYPE_FABRIC_ATTR, C.FI_TYPE_FID],
];
const ofObjects: readonly number[] = [
  ...[C.FI_TYPE_AV_ATTR, C.FI_TYPE_CQ_ATTR, C.FI_TYPE_MR_ATTR, C.FI_TYPE_CNTR_ATTR, C.FI_TYPE_CQ_ERR_ENTRY],
];

function isInfo(value: unknown): value is Info {
  return types.isExternal((value as Partial<Info> | undefined)?.raw?.native);
}

/**
 * `fi_tostr_r(3)`: libfabric's words for a value.
 *
 * @param type - What the value is: 'FI_TYPE_CAPS', 'FI_TYPE_MODE', 'FI_TYPE_EP_TYPE', and so on, for a number or a bigint;
 *   'FI_TYPE_INFO', 'FI_TYPE_TX_ATTR', 'FI_TYPE_RX_ATTR', 'FI_TYPE_EP_ATTR', 'FI_TYPE_DOMAIN_ATTR', 'FI_TYPE_FABRIC_ATTR' or
 *   'FI_TYPE_FID', its network card, for an Info; 'FI_TYPE_VERSION' for nothing at all.
 * @throws FabricError ERR_FABRIC_UNSUPPORTED for a type that only C programs have values of, and for what the Info lacks.
 * @see https://ofiwg.github.io/libfabric/main/man/fabric.7.html
 */
export function toStr(type: TextType, value: number | bigint | Info = 0): string {
  if (!Object.hasOwn(fi_type, type))
    throw rangeError('type', type, `one of ${Object.keys(fi_type).join(', ')}`);
  const number = fi_type[type];
  if (ofObjects.includes(number))
    throw unsupportedError(`fi_tostr: ${type} is for structures of C`, 'fi_tostr');
  let given: bigint | object;
  if (ofInfo.includes(number)) {
    if (!isInfo(value)) throw rangeError('value', value, `an Info of getInfo(), for ${type}`);
    given = value.raw.native;
  } else if (typeof value === 'number') {
    given = BigInt.asUintN(64, BigInt(checkInteger('value', value, -(2 ** 31), Number.MAX_SAFE_INTEGER)));
  } else {
    given = checkUint64('value', value);
  }
  const text = addon().textOf(number, given);
  if (text === STATUS_UNSUPPORTED) throw unsupportedError(`fi_tostr: there is no ${type} here`, 'fi_tostr');
  if (typeof text === 'number') throw statusError(text, 'fi_tostr', type);
  return text;
}
