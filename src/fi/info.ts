// fi_getinfo(3): which fabrics, domains and endpoints the machine offers.
import { STATUS_UNAVAILABLE, statusError, typeError } from './errors.js';
import { addon } from './library.js';
import { type Flags, enumName, enumValue, flagBits, flagNames } from './names.js';
import { FI_ENODATA } from './errno.js';
import type { RawInfo } from '../native.js';

/** What to ask fi_getinfo(3) for. Every member is optional; what is left out, the provider chooses. */
export interface Hints {
  /** Name of the provider, such as 'efa' or 'tcp;ofi_rxm' (fi_fabric_attr.prov_name). Core providers match layered ones too. */
  providerName?: string;
  /** Name of the fabric, such as 'efa' or 'efa-direct' (fi_fabric_attr.name). */
  fabricName?: string;
  /** Name of the domain, usually of one NIC (fi_domain_attr.name). */
  domainName?: string;
  caps?: Flags;
  /** Modes that the program can work with. */
  mode?: Flags;
  addressFormat?: number | string;
  endpointType?: number | string;
  protocol?: number;
  /** Bytes (fi_ep_attr.max_msg_size). */
  maxMessageSize?: number;
  tagFormat?: bigint;
  /** Memory registration modes that the program can work with (fi_domain_attr.mr_mode). */
  memoryMode?: Flags;
  threading?: number | string;
  controlProgress?: number | string;
  dataProgress?: number | string;
  resourceManagement?: number | string;
  addressVectorType?: number | string;
  /** Bytes of remote CQ data (fi_domain_attr.cq_data_size). */
  immediateSize?: number;
  transmit?: {
    messageOrder?: Flags;
    completionOrder?: Flags;
    flags?: Flags;
    size?: number;
    injectSize?: number;
    iovLimit?: number;
    rmaIovLimit?: number;
  };
  receive?: {
    messageOrder?: Flags;
    completionOrder?: Flags;
    flags?: Flags;
    size?: number;
    iovLimit?: number;
  };
}

/** Where to bind or connect (the node, service and flags of fi_getinfo(3)). */
export interface GetInfoTarget {
  /** A host name or address. */
  node?: string;
  service?: string | number;
  /** FI_SOURCE: node and service are the local address. */
  flags?: bigint;
}

/** One fi_info: sizes in bytes, flags as C names; the numbers are under `raw`. */
export interface Info {
  readonly provider: string;
  /** 'major.minor' of the provider. */
  readonly providerVersion: string;
  readonly fabricName: string;
  readonly domainName: string;
  readonly endpointType: string;
  readonly addressFormat: string;
  readonly caps: readonly string[];
  readonly mode: readonly string[];
  readonly memoryMode: readonly string[];
  readonly threading: string;
  readonly controlProgress: string;
  readonly dataProgress: string;
  readonly resourceManagement: string;
  readonly addressVectorType: string;
  readonly maxMessageSize: number;
  readonly injectSize: number;
  /** Bytes of remote CQ data. */
  readonly immediateSize: number;
  readonly memoryKeySize: number;
  readonly transmit: {
    readonly size: number;
    readonly iovLimit: number;
    readonly rmaIovLimit: number;
    readonly messageOrder: readonly string[];
    readonly flags: readonly string[];
  };
  readonly receive: {
    readonly size: number;
    readonly iovLimit: number;
    readonly messageOrder: readonly string[];
    readonly flags: readonly string[];
  };
  /** The local address, where the provider names it before an endpoint is open. */
  readonly sourceAddress: Uint8Array | undefined;
  readonly destinationAddress: Uint8Array | undefined;
  readonly nic: Nic | undefined;
  /** Every number that fi_info holds. */
  readonly raw: RawInfo;
}

/** The network card behind an Info (fi_nic(3)). */
export interface Nic {
  readonly device?: string;
  readonly deviceId?: string;
  readonly vendorId?: string;
  readonly driver?: string;
  readonly firmware?: string;
  /** Such as '0000:00:06.0'. */
  readonly pciAddress?: string;
  readonly mtu?: number;
  readonly speedBitsPerSecond?: number;
  readonly linkState?: string;
  readonly networkType?: string;
}

function rawHints(hints: Hints): object {
  const { transmit = {}, receive = {} } = hints;
  return {
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
    receiveOrder: flagBits('order', receive.messageOrder, 'hints.receive.messageOrder'),
    receiveCompletionOrder: flagBits('order', receive.completionOrder, 'hints.receive.completionOrder'),
    receiveFlags: flagBits('operation', receive.flags, 'hints.receive.flags'),
    receiveSize: receive.size,
    receiveIovLimit: receive.iovLimit,
  };
}

function readable(raw: RawInfo): Info {
  const { transmit, receive, endpoint, domain, fabric } = raw;
  const version = fabric.providerVersion;
  const big = (value: unknown): bigint => BigInt(value as number | bigint);
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
    },
    receive: {
      size: receive.size as number,
      iovLimit: receive.iovLimit as number,
      messageOrder: flagNames('order', big(receive.messageOrder)),
      flags: flagNames('operation', big(receive.flags)),
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
 * @throws FabricError ERR_FABRIC_UNAVAILABLE where libfabric is missing; otherwise the fi_errno of the call.
 */
export async function getInfo(hints?: Hints, target: GetInfoTarget = {}): Promise<Info[]> {
  if (hints !== undefined && (typeof hints !== 'object' || hints === null))
    throw typeError('hints', hints, 'an object');
  const service = target.service === undefined ? '' : String(target.service);
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
