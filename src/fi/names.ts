// Readable names for libfabric's flags and enumerations: both ways, in C's spelling.
import * as C from './constants.js';
import * as E from './generated/enumeration-names.js';
import { rangeError, typeError } from './errors.js';

/** Flags as a bigint, or as C names such as ['FI_MSG', 'FI_TAGGED']. */
export type Flags = bigint | readonly string[];

type Table = Readonly<Record<string, bigint>>;

const capsTable: Table = {
  FI_MSG: C.FI_MSG,
  FI_RMA: C.FI_RMA,
  FI_TAGGED: C.FI_TAGGED,
  FI_ATOMIC: C.FI_ATOMIC,
  FI_MULTICAST: C.FI_MULTICAST,
  FI_COLLECTIVE: C.FI_COLLECTIVE,
  FI_READ: C.FI_READ,
  FI_WRITE: C.FI_WRITE,
  FI_RECV: C.FI_RECV,
  FI_SEND: C.FI_SEND,
  FI_REMOTE_READ: C.FI_REMOTE_READ,
  FI_REMOTE_WRITE: C.FI_REMOTE_WRITE,
  FI_MULTI_RECV: C.FI_MULTI_RECV,
  FI_REMOTE_CQ_DATA: C.FI_REMOTE_CQ_DATA,
  FI_TRIGGER: C.FI_TRIGGER,
  FI_FENCE: C.FI_FENCE,
  FI_PEER: C.FI_PEER,
  FI_AV_USER_ID: C.FI_AV_USER_ID,
  FI_TAGGED_DIRECTED_RECV: C.FI_TAGGED_DIRECTED_RECV,
  FI_TAGGED_MULTI_RECV: C.FI_TAGGED_MULTI_RECV,
  FI_HMEM: C.FI_HMEM,
  // libfabric 2 gave the bit of FI_VARIABLE_MSG, which no provider had, another meaning.
  FI_EXACT_DIRECTED_RECV: C.FI_EXACT_DIRECTED_RECV,
  FI_VARIABLE_MSG: C.FI_VARIABLE_MSG,
  FI_RMA_PMEM: C.FI_RMA_PMEM,
  FI_SOURCE_ERR: C.FI_SOURCE_ERR,
  FI_LOCAL_COMM: C.FI_LOCAL_COMM,
  FI_REMOTE_COMM: C.FI_REMOTE_COMM,
  FI_SHARED_AV: C.FI_SHARED_AV,
  FI_RMA_EVENT: C.FI_RMA_EVENT,
  FI_SOURCE: C.FI_SOURCE,
  FI_NAMED_RX_CTX: C.FI_NAMED_RX_CTX,
  FI_DIRECTED_RECV: C.FI_DIRECTED_RECV,
};

const operationTable: Table = {
  FI_MORE: C.FI_MORE,
  FI_FENCE: C.FI_FENCE,
  FI_COMPLETION: C.FI_COMPLETION,
  FI_INJECT: C.FI_INJECT,
  FI_INJECT_COMPLETE: C.FI_INJECT_COMPLETE,
  FI_TRANSMIT_COMPLETE: C.FI_TRANSMIT_COMPLETE,
  FI_DELIVERY_COMPLETE: C.FI_DELIVERY_COMPLETE,
  FI_COMMIT_COMPLETE: C.FI_COMMIT_COMPLETE,
  FI_MATCH_COMPLETE: C.FI_MATCH_COMPLETE,
  FI_MULTI_RECV: C.FI_MULTI_RECV,
  FI_AFFINITY: C.FI_AFFINITY,
  FI_REMOTE_CQ_DATA: C.FI_REMOTE_CQ_DATA,
  FI_PEEK: C.FI_PEEK,
  FI_CLAIM: C.FI_CLAIM,
  FI_DISCARD: C.FI_DISCARD,
};

const modeTable: Table = {
  FI_CONTEXT: C.FI_CONTEXT,
  FI_MSG_PREFIX: C.FI_MSG_PREFIX,
  FI_ASYNC_IOV: C.FI_ASYNC_IOV,
  FI_RX_CQ_DATA: C.FI_RX_CQ_DATA,
  FI_LOCAL_MR: C.FI_LOCAL_MR,
  FI_NOTIFY_FLAGS_ONLY: C.FI_NOTIFY_FLAGS_ONLY,
  FI_RESTRICTED_COMP: C.FI_RESTRICTED_COMP,
  FI_CONTEXT2: C.FI_CONTEXT2,
  FI_BUFFERED_RECV: C.FI_BUFFERED_RECV,
};

const memoryModeTable: Table = {
  FI_MR_LOCAL: BigInt(C.FI_MR_LOCAL),
  FI_MR_RAW: BigInt(C.FI_MR_RAW),
  FI_MR_VIRT_ADDR: BigInt(C.FI_MR_VIRT_ADDR),
  FI_MR_ALLOCATED: BigInt(C.FI_MR_ALLOCATED),
  FI_MR_PROV_KEY: BigInt(C.FI_MR_PROV_KEY),
  FI_MR_MMU_NOTIFY: BigInt(C.FI_MR_MMU_NOTIFY),
  FI_MR_RMA_EVENT: BigInt(C.FI_MR_RMA_EVENT),
  FI_MR_ENDPOINT: BigInt(C.FI_MR_ENDPOINT),
  FI_MR_HMEM: BigInt(C.FI_MR_HMEM),
  FI_MR_COLLECTIVE: BigInt(C.FI_MR_COLLECTIVE),
};

const orderTable: Table = {
  FI_ORDER_RAR: C.FI_ORDER_RAR,
  FI_ORDER_RAW: C.FI_ORDER_RAW,
  FI_ORDER_RAS: C.FI_ORDER_RAS,
  FI_ORDER_WAR: C.FI_ORDER_WAR,
  FI_ORDER_WAW: C.FI_ORDER_WAW,
  FI_ORDER_WAS: C.FI_ORDER_WAS,
  FI_ORDER_SAR: C.FI_ORDER_SAR,
  FI_ORDER_SAW: C.FI_ORDER_SAW,
  FI_ORDER_SAS: C.FI_ORDER_SAS,
  FI_ORDER_RMA_RAR: C.FI_ORDER_RMA_RAR,
  FI_ORDER_RMA_RAW: C.FI_ORDER_RMA_RAW,
  FI_ORDER_RMA_WAR: C.FI_ORDER_RMA_WAR,
  FI_ORDER_RMA_WAW: C.FI_ORDER_RMA_WAW,
  FI_ORDER_ATOMIC_RAR: C.FI_ORDER_ATOMIC_RAR,
  FI_ORDER_ATOMIC_RAW: C.FI_ORDER_ATOMIC_RAW,
  FI_ORDER_ATOMIC_WAR: C.FI_ORDER_ATOMIC_WAR,
  FI_ORDER_ATOMIC_WAW: C.FI_ORDER_ATOMIC_WAW,
};

const flagTables = {
  caps: capsTable,
  operation: operationTable,
  mode: modeTable,
  memoryMode: memoryModeTable,
  order: orderTable,
} as const satisfies Record<FlagKind, Table>;
/** Sets of flags that have names. */
export type FlagKind = 'caps' | 'operation' | 'mode' | 'memoryMode' | 'order';

/** The names of the flags that are set; a bit without a name is given as a hexadecimal number. */
export function flagNames(kind: FlagKind, flags: bigint): string[] {
  const names: string[] = [];
  let rest = flags;
  for (const [name, bit] of Object.entries(flagTables[kind])) {
    if ((rest & bit) === 0n) continue;
    names.push(name);
    rest &= ~bit;
  }
  if (rest !== 0n) names.push(`0x${rest.toString(16)}`);
  return names;
}

/** Flags given as a bigint or by names. `argument` names them in the error of an unknown name. */
export function flagBits(kind: FlagKind, flags: Flags | undefined, argument: string): bigint {
  if (flags === undefined) return 0n;
  if (typeof flags === 'bigint') return flags;
  if (!Array.isArray(flags)) throw typeError(argument, flags, 'a bigint or an array of names');
  let bits = 0n;
  for (const name of flags as readonly string[]) {
    const bit = flagTables[kind][name];
    if (bit === undefined)
      throw rangeError(argument, name, `made of ${Object.keys(flagTables[kind]).join(', ')}`);
    bits |= bit;
  }
  return bits;
}

const enumTables = {
  endpointType: E.fi_ep_type,
  threading: E.fi_threading,
  progress: E.fi_progress,
  resourceManagement: E.fi_resource_mgmt,
  addressVectorType: E.fi_av_type,
  waitObject: E.fi_wait_obj,
  addressFormat: E.FI_FORMAT_UNSPEC,
  protocol: E.FI_PROTO_UNSPEC,
  trafficClass: E.FI_TC_UNSPEC,
  datatype: E.fi_datatype,
  atomicOperation: E.fi_op,
  collectiveOperation: E.fi_collective_op,
  completionFormat: E.fi_cq_format,
  event: E.FI_NOTIFY,
  linkState: E.fi_link_state,
  memoryInterface: E.fi_hmem_iface,
  peerToPeer: E.FI_HMEM_P2P_ENABLED,
  endpointOption: { ...E.FI_OPT_MIN_MULTI_RECV, ...E.FI_OPT_EFA_RNR_RETRY },
  controlCommand: E.FI_GETFIDFLAG,
  counterEvents: E.fi_cntr_events,
  parameterType: E.fi_param_type,
  logLevel: E.fi_log_level,
  logSubsystem: E.fi_log_subsys,
  profileVariable: E.FI_VAR_UNEXP_MSG_CNT,
  profileEvent: E.FI_EVENT_UNEXP_MSG_RECVD,
  deferredOperation: E.fi_op_type,
} as const satisfies Record<EnumKind, Readonly<Record<string, number>>>;
/** Enumerations that have names. */
export type EnumKind =
  | 'endpointType'
  | 'threading'
  | 'progress'
  | 'resourceManagement'
  | 'addressVectorType'
  | 'waitObject'
  | 'addressFormat'
  | 'protocol'
  | 'trafficClass'
  | 'datatype'
  | 'atomicOperation'
  | 'collectiveOperation'
  | 'completionFormat'
  | 'event'
  | 'linkState'
  | 'memoryInterface'
  | 'peerToPeer'
  | 'endpointOption'
  | 'controlCommand'
  | 'counterEvents'
  | 'parameterType'
  | 'logLevel'
  | 'logSubsystem'
  | 'profileVariable'
  | 'profileEvent'
  | 'deferredOperation';

const namesByValue = new Map<EnumKind, Map<number, string>>();

function namesOf(kind: EnumKind): Map<number, string> {
  let names = namesByValue.get(kind);
  if (names !== undefined) return names;
  names = new Map();
  // The first of several names for one value is the usual one.
  for (const [name, value] of Object.entries(enumTables[kind])) if (!names.has(value)) names.set(value, name);
  namesByValue.set(kind, names);
  return names;
}

/** The C name of an enumeration's value; its number as text where it has none. */
export function enumName(kind: EnumKind, value: number): string {
  return namesOf(kind).get(value) ?? String(value);
}

/** An enumeration's value given as a number or by its C name. */
export function enumValue(kind: EnumKind, value: number | string | undefined, argument: string): number {
  if (value === undefined) return 0;
  if (typeof value === 'number') return value;
  const table: Readonly<Record<string, number>> = enumTables[kind];
  const found = Object.hasOwn(table, value) ? table[value] : undefined;
  if (found === undefined) throw rangeError(argument, value, `one of ${Object.keys(table).join(', ')}`);
  return found;
}
