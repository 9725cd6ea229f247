// fi_getinfo(3): which fabrics, domains and endpoints the machine offers.
import { FI_FORMAT_UNSPEC, FI_MSG_PREFIX, FI_SHARED_CONTEXT } from './constants.js';
import {
  STATUS_UNAVAILABLE,
  checkAddress,
  checkBytes,
  checkInteger,
  rangeError,
  statusError,
  typeError,
} from './errors.js';
import { checkEnvironment } from './environment.js';
import { addon } from './library.js';
import { type Flags, enumName, enumValue, flagBits, flagNames } from './names.js';
import { FI_ENODATA } from './errno.js';
import { problemOfAddress } from './socket-address.js';
import type { RawInfo } from '../native.js';

export type { RawInfo };

/** How many contexts an endpoint has, or that it uses one that several share (FI_SHARED_CONTEXT). */
export type ContextCount = number | 'FI_SHARED_CONTEXT';

/** What to ask fi_getinfo(3) for. Every member is optional; what is left out, the provider chooses. */
export interface Hints {
  /** Name of the provider, such as 'efa' or 'tcp;ofi_rxm' (fi_fabric_attr.prov_name). Core providers match layered ones too. */
  providerName?: string;
  /** Name of the fabric, such as 'efa' or 'efa-direct' (fi_fabric_attr.name). */
  fabricName?: string;
  /** Name of the domain, usually of one NIC (fi_domain_attr.name). */
  domainName?: string;
  /** Capabilities that the program needs (fi_info.caps). */
  caps?: Flags;
  /** Modes that the program can work with. */
  mode?: Flags;
  /** A C name or number, such as 'FI_SOCKADDR_IN' (fi_info.addr_format). */
  addressFormat?: number | string;
  /** The local address, in the format of `addressFormat`, which then must be given (fi_info.src_addr). */
  sourceAddress?: Uint8Array;
  /** The address of a peer, as its getName() gives it, in the format of `addressFormat` (fi_info.dest_addr). */
  destinationAddress?: Uint8Array;
  /** A C name or number, such as 'FI_EP_RDM' (fi_ep_attr.type). */
  endpointType?: number | string;
  /** A number of enum fi_proto (fi_ep_attr.protocol). */
  protocol?: number;
  /** Bytes (fi_ep_attr.max_msg_size). */
  maxMessageSize?: number;
  /** Bits of the tag that the program needs (fi_ep_attr.mem_tag_format). */
  tagFormat?: bigint;
  /** Memory registration modes that the program can work with (fi_domain_attr.mr_mode). */
  memoryMode?: Flags;
  /** A C name or number, such as 'FI_THREAD_SAFE' (fi_domain_attr.threading). */
  threading?: number | string;
  /** A C name or number, such as 'FI_PROGRESS_AUTO' (fi_domain_attr.control_progress). */
  controlProgress?: number | string;
  /** A C name or number (fi_domain_attr.data_progress). */
  dataProgress?: number | string;
  /** A C name or number, such as 'FI_RM_ENABLED' (fi_domain_attr.resource_mgmt). */
  resourceManagement?: number | string;
  /** A C name or number, such as 'FI_AV_TABLE' (fi_domain_attr.av_type). */
  addressVectorType?: number | string;
  /** Bytes of remote CQ data (fi_domain_attr.cq_data_size). */
  immediateSize?: number;
  /** What sending needs (fi_tx_attr). */
  transmit?: {
    /** Such as ['FI_ORDER_SAS'] (msg_order). */
    messageOrder?: Flags;
    /** (comp_order) */
    completionOrder?: Flags;
    /** Flags of every send (op_flags). */
    flags?: Flags;
    /** Operations (size). */
    size?: number;
    /** Bytes (inject_size). */
    injectSize?: number;
    /** Buffers of one operation (iov_limit). */
    iovLimit?: number;
    /** Remote buffers of one operation (rma_iov_limit). */
    rmaIovLimit?: number;
    /** Of a ScalableEndpoint; or that a SharedTransmitContext will be bound (fi_ep_attr.tx_ctx_cnt). */
    contexts?: ContextCount;
  };
  /** What receiving needs (fi_rx_attr). */
  receive?: {
    /** Such as ['FI_ORDER_SAS'] (msg_order). */
    messageOrder?: Flags;
    /** (comp_order) */
    completionOrder?: Flags;
    /** Flags of every receive (op_flags). */
    flags?: Flags;
    /** Operations (size). */
    size?: number;
    /** Buffers of one operation (iov_limit). */
    iovLimit?: number;
    /** Of a ScalableEndpoint; or that a SharedReceiveContext will be bound (fi_ep_attr.rx_ctx_cnt). */
    contexts?: ContextCount;
  };
}

/** Where to bind or connect (the node, service and flags of fi_getinfo(3)). */
export interface GetInfoTarget {
  /** A host name or address. */
  node?: string;
  /** A port, or the name of a service. */
  service?: string | number;
  /** FI_SOURCE: node and service are the local address. */
  flags?: bigint;
}

/** One fi_info, a copy (fi_dupinfo) that is freed (fi_freeinfo) once nothing refers to it: sizes in bytes, flags as C names; the numbers are under `raw`. */
export interface Info {
  /** (fi_fabric_attr.prov_name) */
  readonly provider: string;
  /** 'major.minor' of the provider. */
  readonly providerVersion: string;
  /** (fi_fabric_attr.name) */
  readonly fabricName: string;
  /** (fi_domain_attr.name) */
  readonly domainName: string;
  /** (fi_ep_attr.type) */
  readonly endpointType: string;
  /** (fi_info.addr_format) */
  readonly addressFormat: string;
  /** (fi_info.caps) */
  readonly caps: readonly string[];
  /** What the provider demands of the program (fi_info.mode). */
  readonly mode: readonly string[];
  /** (fi_domain_attr.mr_mode) */
  readonly memoryMode: readonly string[];
  /** (fi_domain_attr.threading) */
  readonly threading: string;
  /** (fi_domain_attr.control_progress) */
  readonly controlProgress: string;
  /** (fi_domain_attr.data_progress) */
  readonly dataProgress: string;
  /** (fi_domain_attr.resource_mgmt) */
  readonly resourceManagement: string;
  /** (fi_domain_attr.av_type) */
  readonly addressVectorType: string;
  /** (fi_ep_attr.max_msg_size) */
  readonly maxMessageSize: number;
  /** (fi_tx_attr.inject_size) */
  readonly injectSize: number;
  /** Bytes of remote CQ data. */
  readonly immediateSize: number;
  /** (fi_domain_attr.mr_key_size) */
  readonly memoryKeySize: number;
  /** (fi_tx_attr) */
  readonly transmit: {
    /** Operations. */
    readonly size: number;
    /** Buffers of one operation. */
    readonly iovLimit: number;
    /** Remote buffers of one operation. */
    readonly rmaIovLimit: number;
    /** (msg_order) */
    readonly messageOrder: readonly string[];
    /** (op_flags) */
    readonly flags: readonly string[];
    /**
     * Bytes at the beginning of every message that is sent, which belong to the provider and count toward no limit; 0
     * without the mode FI_MSG_PREFIX (fi_ep_attr.msg_prefix_size).
     */
    readonly messagePrefixSize: number;
    /** (fi_ep_attr.tx_ctx_cnt) */
    readonly contexts: ContextCount;
  };
  /** (fi_rx_attr) */
  readonly receive: {
    /** Operations. */
    readonly size: number;
    /** Buffers of one operation. */
    readonly iovLimit: number;
    /** (msg_order) */
    readonly messageOrder: readonly string[];
    /** (op_flags) */
    readonly flags: readonly string[];
    /**
     * Bytes at the beginning of every buffer for receives, which belong to the provider; the message is behind them. 0
     * without the mode FI_MSG_PREFIX (fi_ep_attr.msg_prefix_size).
     */
    readonly messagePrefixSize: number;
    /** (fi_ep_attr.rx_ctx_cnt) */
    readonly contexts: ContextCount;
  };
  /** The local address, where the provider names it before an endpoint is open. */
  readonly sourceAddress: Uint8Array | undefined;
  /** The address of the node that was asked for. */
  readonly destinationAddress: Uint8Array | undefined;
  /** The network card, where there is one and the provider tells. */
  readonly nic: Nic | undefined;
  /** Every number that fi_info holds. */
  readonly raw: Readonly<RawInfo>;
}

/** The network card behind an Info (fi_nic(3)). */
export interface Nic {
  /** (fi_device_attr.name) */
  readonly device?: string;
  /** (fi_device_attr.device_id) */
  readonly deviceId?: string;
  /** (fi_device_attr.vendor_id) */
  readonly vendorId?: string;
  /** (fi_device_attr.driver) */
  readonly driver?: string;
  /** (fi_device_attr.firmware) */
  readonly firmware?: string;
  /** Such as '0000:00:06.0'. */
  readonly pciAddress?: string;
  /** Bytes (fi_link_attr.mtu). */
  readonly mtu?: number;
  /** (fi_link_attr.speed) */
  readonly speedBitsPerSecond?: number;
  /** A C name, such as 'FI_LINK_UP' (fi_link_attr.state). */
  readonly linkState?: string;
  /** (fi_link_attr.network_type) */
  readonly networkType?: string;
}

/** Providers read addresses without looking at their length. */
function checkedAddress(hints: Hints, name: 'sourceAddress' | 'destinationAddress'): Uint8Array | undefined {
  if (hints[name] === undefined) return undefined;
  const bytes = checkBytes(`hints.${name}`, hints[name]);
  const format = enumValue('addressFormat', hints.addressFormat, 'hints.addressFormat');
  if (format === FI_FORMAT_UNSPEC)
    throw rangeError('hints.addressFormat', hints.addressFormat, `the format of hints.${name}`);
  const problem = problemOfAddress(enumName('addressFormat', format), bytes);
  checkAddress(`hints.${name}`, bytes.byteLength === 0 ? 'no bytes are no address' : problem);
  return bytes;
}

function contextCount(argument: string, given: ContextCount | undefined): number | bigint | undefined {
  if (given === undefined) return undefined;
  return given === 'FI_SHARED_CONTEXT' ? FI_SHARED_CONTEXT : checkInteger(argument, given, 0, 1 << 16);
}

function readableContexts(count: number | bigint): ContextCount {
  return typeof count === 'bigint' ? 'FI_SHARED_CONTEXT' : count;
}

function rawHints(hints: Hints): object {
  const { transmit = {}, receive = {} } = hints;
  return {
    sourceAddress: checkedAddress(hints, 'sourceAddress'),
    destinationAddress: checkedAddress(hints, 'destinationAddress'),
    providerName: hints.providerName,
    fabricName: hints.fabricName,
    domainName: hints.domainName,
    caps: flagBits('caps', hints.caps, 'hints.caps'),
    mode: flagBits('mode', hints.mode, 'hints.mode'),
    addressFormat: enumValue('addressFormat', hints.addressFormat, 'hints.addressFormat'),
    endpointType: enumValue('endpointType', hints.endpointType, 'hints.endpointType'),
    protocol: hints.protocol,
    maxMessageSize: hints.maxMessageSize,
    tagFormat: hints.tagFormat,
    memoryMode: flagBits('memoryMode', hints.memoryMode, 'hints.memoryMode'),
    threading: enumValue('threading', hints.threading, 'hints.threading'),
    controlProgress: enumValue('progress', hints.controlProgress, 'hints.controlProgress'),
    dataProgress: enumValue('progress', hints.dataProgress, 'hints.dataProgress'),
    resourceManagement: enumValue('resourceManagement', hints.resourceManagement, 'hints.resourceManagement'),
    addressVectorType: enumValue('addressVectorType', hints.addressVectorType, 'hints.addressVectorType'),
    immediateSize: hints.immediateSize,
    transmitOrder: flagBits('order', transmit.messageOrder, 'hints.transmit.messageOrder'),
    transmitCompletionOrder: flagBits('order', transmit.completionOrder, 'hints.transmit.completionOrder'),
    transmitFlags: flagBits('operation', transmit.flags, 'hints.transmit.flags'),
    transmitSize: transmit.size,
    injectSize: transmit.injectSize,
    transmitIovLimit: transmit.iovLimit,
    rmaIovLimit: transmit.rmaIovLimit,
    transmitContexts: contextCount('hints.transmit.contexts', transmit.contexts),
    receiveContexts: contextCount('hints.receive.contexts', receive.contexts),
    receiveOrder: flagBits('order', receive.messageOrder, 'hints.receive.messageOrder'),
    receiveCompletionOrder: flagBits('order', receive.completionOrder, 'hints.receive.completionOrder'),
    receiveFlags: flagBits('operation', receive.flags, 'hints.receive.flags'),
    receiveSize: receive.size,
    receiveIovLimit: receive.iovLimit,
  };
}

/** @internal */
export function readable(raw: Readonly<RawInfo>): Info {
  const { transmit, receive, endpoint, domain, fabric } = raw;
  const version = fabric.providerVersion;
  const big = (value: unknown): bigint => BigInt(value as number | bigint);
  const prefixOf = ({ mode }: typeof transmit): number =>
    (big(mode) & FI_MSG_PREFIX) === 0n ? 0 : (endpoint.messagePrefixSize as number);
  return Object.freeze({
    provider: fabric.provider ?? '',
    providerVersion: `${String(version >>> 16)}.${String(version & 0xffff)}`,
    fabricName: fabric.name ?? '',
    domainName: (domain.name as string | undefined) ?? '',
    endpointType: enumName('endpointType', endpoint.type as number),
    addressFormat: enumName('addressFormat', raw.addressFormat),
    caps: flagNames('caps', raw.caps),
    mode: flagNames('mode', raw.mode),
    memoryMode: flagNames('memoryMode', big(domain.memoryMode)),
    threading: enumName('threading', domain.threading as number),
    controlProgress: enumName('progress', domain.controlProgress as number),
    dataProgress: enumName('progress', domain.dataProgress as number),
    resourceManagement: enumName('resourceManagement', domain.resourceManagement as number),
    addressVectorType: enumName('addressVectorType', domain.addressVectorType as number),
    maxMessageSize: endpoint.maxMessageSize as number,
    injectSize: transmit.injectSize as number,
    immediateSize: domain.immediateSize as number,
    memoryKeySize: domain.memoryKeySize as number,
    transmit: {
      size: transmit.size as number,
      iovLimit: transmit.iovLimit as number,
      rmaIovLimit: transmit.rmaIovLimit as number,
      messageOrder: flagNames('order', big(transmit.messageOrder)),
      flags: flagNames('operation', big(transmit.flags)),
      messagePrefixSize: prefixOf(transmit),
      contexts: readableContexts(endpoint.transmitContexts),
    },
    receive: {
      size: receive.size as number,
      iovLimit: receive.iovLimit as number,
      messageOrder: flagNames('order', big(receive.messageOrder)),
      flags: flagNames('operation', big(receive.flags)),
      messagePrefixSize: prefixOf(receive),
      contexts: readableContexts(endpoint.receiveContexts),
    },
    sourceAddress: raw.sourceAddress,
    destinationAddress: raw.destinationAddress,
    nic:
      raw.nic === undefined
        ? undefined
        : { ...raw.nic, linkState: enumName('linkState', Number(raw.nic.linkState ?? 0)) },
    raw,
  });
}

/**
 * `fi_getinfo(3)`: lists what matches the hints, best first. Runs off the JavaScript thread.
 *
 * @param hints - What the program needs; nothing: everything there is.
 * @param target - The local address (with FI_SOURCE in `flags`) or the peer's.
 * @returns One Info for each combination; an empty array where nothing matches (-FI_ENODATA).
 * @throws FabricError ERR_FABRIC_UNAVAILABLE where libfabric is missing; ERR_FABRIC_ENVIRONMENT where a variable would
 *   make the efa provider end the process; otherwise the fi_errno of the call.
 */
export async function getInfo(hints?: Hints, target: GetInfoTarget = {}): Promise<Info[]> {
  if (hints !== undefined && (typeof hints !== 'object' || hints === null))
    throw typeError('hints', hints, 'an object');
  const service = target.service === undefined ? '' : String(target.service);
  checkEnvironment();
  const result = await addon().getInfo(
    hints === undefined ? undefined : rawHints(hints),
    target.node ?? '',
    service,
    target.flags ?? 0n,
  );
  if (typeof result !== 'number') return result.map(readable);
  if (result === -FI_ENODATA) return [];
  throw statusError(
    result,
    'fi_getinfo',
    result === STATUS_UNAVAILABLE ? '' : `provider ${hints?.providerName ?? 'any'}`,
  );
}
