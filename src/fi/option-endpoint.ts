// Options of endpoints, active and passive (fi_endpoint(3)).
import * as C from './constants.js';
import {
  check,
  checkAddress,
  checkBytes,
  checkInteger,
  checkUint64,
  isLacking,
  rangeError,
  statusError,
  typeError,
  unsupportedError,
} from './errors.js';
import type { Info } from './info.js';
import { addon } from './library.js';
import { type Flags, enumName, enumValue, flagBits } from './names.js';
import { FabricObject } from './object.js';
import { problemOfAddress } from './socket-address.js';

/** What fi_getopt(3) and fi_setopt(3) know, with the type of each value. Sizes are in bytes. */
export interface EndpointOptions {
  /** Room that a multi-receive buffer must have left to stay posted. */
  FI_OPT_MIN_MULTI_RECV: number;
  /** How much data a connection request may carry; can only be read. */
  FI_OPT_CM_DATA_SIZE: number;
  /** Below it, messages are not buffered; libfabric 1.x. */
  FI_OPT_BUFFERED_MIN: number;
  /** Above it, messages are not buffered; libfabric 1.x. */
  FI_OPT_BUFFERED_LIMIT: number;
  /** Of the socket's send buffer. */
  FI_OPT_SEND_BUF_SIZE: number;
  /** Of the socket's receive buffer. */
  FI_OPT_RECV_BUF_SIZE: number;
  /** Operations of the transmit queue. */
  FI_OPT_TX_SIZE: number;
  /** Operations of the receive queue. */
  FI_OPT_RX_SIZE: number;
  /** How the provider moves device memory: a C name, such as 'FI_HMEM_P2P_DISABLED'. */
  FI_OPT_FI_HMEM_P2P: string;
  /** Whether the provider may call CUDA. */
  FI_OPT_CUDA_API_PERMITTED: boolean;
  /** Whether the provider may use shared memory between processes of one host. */
  FI_OPT_SHARED_MEMORY_PERMITTED: boolean;
  /** The longest message. */
  FI_OPT_MAX_MSG_SIZE: number;
  /** The longest tagged message. */
  FI_OPT_MAX_TAGGED_SIZE: number;
  /** The longest one-sided operation. */
  FI_OPT_MAX_RMA_SIZE: number;
  /** The longest atomic operation. */
  FI_OPT_MAX_ATOMIC_SIZE: number;
  /** The longest injected message. */
  FI_OPT_INJECT_MSG_SIZE: number;
  /** The longest injected tagged message. */
  FI_OPT_INJECT_TAGGED_SIZE: number;
  /** The longest injected write. */
  FI_OPT_INJECT_RMA_SIZE: number;
  /** The longest injected atomic operation. */
  FI_OPT_INJECT_ATOMIC_SIZE: number;
  /** Whether addresses carry what a peer behind a firewall needs; libfabric 2.2. */
  FI_OPT_FIREWALL_ADDR: boolean;
  /** EFA: how often a receiver that was not ready is tried again, 0 to 7; 7 is for ever. Before enable(). */
  FI_OPT_EFA_RNR_RETRY: number;
  /** EFA: whether reads are emulated in software; can only be read. */
  FI_OPT_EFA_EMULATED_READ: boolean;
  /** EFA: whether writes are emulated in software; can only be read. */
  FI_OPT_EFA_EMULATED_WRITE: boolean;
  /** EFA: whether atomics are emulated in software; can only be read. */
  FI_OPT_EFA_EMULATED_ATOMICS: boolean;
  /** EFA: whether the device's RDMA is used. Before enable(). */
  FI_OPT_EFA_USE_DEVICE_RDMA: boolean;
  /** EFA: whether each 128 aligned bytes of a message arrive in order. Before enable(). */
  FI_OPT_EFA_SENDRECV_IN_ORDER_ALIGNED_128_BYTES: boolean;
  /** EFA: whether each 128 aligned bytes of a write arrive in order. Before enable(). */
  FI_OPT_EFA_WRITE_IN_ORDER_ALIGNED_128_BYTES: boolean;
  /** EFA: whether all peers run the same release; libfabric 2.2. Before enable(). */
  FI_OPT_EFA_HOMOGENEOUS_PEERS: boolean;
  /** EFA: whether a write with immediate data takes no posted receive; libfabric 2.5. Before enable(). */
  FI_OPT_EFA_USE_UNSOLICITED_WRITE_RECV: boolean;
}

interface Type<T> {
  bytes: number;
  decode: (value: DataView) => T;
  encode: (value: DataView, argument: string, given: unknown) => void;
}

// As Node runs on little-endian machines only.
const size: Type<number> = {
  bytes: 8,
  decode: (view) => {
    const value = view.getBigUint64(0, true);
    return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);
  },
  encode: (view, argument, given) => {
    view.setBigUint64(0, BigInt(checkInteger(argument, given, 0, Number.MAX_SAFE_INTEGER)), true);
  },
};

const bool: Type<boolean> = {
  bytes: 1,
  decode: (view) => view.getUint8(0) !== 0,
  encode: (view, argument, given) => {
    if (typeof given !== 'boolean') throw typeError(argument, given, 'a boolean');
    view.setUint8(0, given ? 1 : 0);
  },
};

const peerToPeer: Type<string> = {
  bytes: 4,
  decode: (view) => enumName('peerToPeer', view.getInt32(0, true)),
  encode: (view, argument, given) => {
    if (typeof given !== 'string') throw typeError(argument, given, "a C name such as 'FI_HMEM_P2P_ENABLED'");
    view.setInt32(0, enumValue('peerToPeer', given, argument), true);
  },
};

const types: { readonly [Name in keyof EndpointOptions]: Type<EndpointOptions[Name]> } = {
  FI_OPT_MIN_MULTI_RECV: size,
  FI_OPT_CM_DATA_SIZE: size,
  FI_OPT_BUFFERED_MIN: size,
  FI_OPT_BUFFERED_LIMIT: size,
  FI_OPT_SEND_BUF_SIZE: size,
  FI_OPT_RECV_BUF_SIZE: size,
  FI_OPT_TX_SIZE: size,
  FI_OPT_RX_SIZE: size,
  FI_OPT_FI_HMEM_P2P: peerToPeer,
  FI_OPT_CUDA_API_PERMITTED: bool,
  FI_OPT_SHARED_MEMORY_PERMITTED: bool,
  FI_OPT_MAX_MSG_SIZE: size,
  FI_OPT_MAX_TAGGED_SIZE: size,
  FI_OPT_MAX_RMA_SIZE: size,
  FI_OPT_MAX_ATOMIC_SIZE: size,
  FI_OPT_INJECT_MSG_SIZE: size,
  FI_OPT_INJECT_TAGGED_SIZE: size,
  FI_OPT_INJECT_RMA_SIZE: size,
  FI_OPT_INJECT_ATOMIC_SIZE: size,
  FI_OPT_FIREWALL_ADDR: bool,
  FI_OPT_EFA_RNR_RETRY: size,
  FI_OPT_EFA_EMULATED_READ: bool,
  FI_OPT_EFA_EMULATED_WRITE: bool,
  FI_OPT_EFA_EMULATED_ATOMICS: bool,
  FI_OPT_EFA_USE_DEVICE_RDMA: bool,
  FI_OPT_EFA_SENDRECV_IN_ORDER_ALIGNED_128_BYTES: bool,
  FI_OPT_EFA_WRITE_IN_ORDER_ALIGNED_128_BYTES: bool,
  FI_OPT_EFA_HOMOGENEOUS_PEERS: bool,
  FI_OPT_EFA_USE_UNSOLICITED_WRITE_RECV: bool,
};

function typeOf<Name extends keyof EndpointOptions>(option: Name): Type<EndpointOptions[Name]> {
  if (typeof option !== 'string')
    throw typeError('option', option, "a C name such as 'FI_OPT_MIN_MULTI_RECV'");
  if (!Object.hasOwn(types, option))
    throw rangeError('option', option, `one of ${Object.keys(types).join(', ')}`);
  return types[option];
}

function checkOption(status: number, call: string, about: string): void {
  if (isLacking(status) || status === -C.FI_ENOPROTOOPT)
    throw unsupportedError(`${call}: the provider has no ${about}`, call);
  check(status, call, about);
}

/** What endpoints can be asked and told, active and passive ones alike. */
export abstract class OptionEndpoint extends FabricObject {
  /** What it was opened with. */
  abstract readonly info: Info;

  /**
   * `fi_getopt(3)`: the value of an option.
   *
   * @param option - The C name of an option (FI_OPT_ENDPOINT level).
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider does not have it.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  getOpt<Name extends keyof EndpointOptions>(option: Name): EndpointOptions[Name] {
    const type = typeOf(option);
    const bytes = this.getOptBytes(
      C.FI_OPT_ENDPOINT,
      enumValue('endpointOption', option, 'option'),
      type.bytes,
    );
    return type.decode(new DataView(bytes.buffer));
  }

  /**
   * `fi_setopt(3)`: sets an option. Many can be set before enable() only.
   *
   * @param option - The C name of an option (FI_OPT_ENDPOINT level).
   * @param value - Of the option's type.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider does not have it; the fi_errno where it refuses the value
   *   or the moment.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  setOpt<Name extends keyof EndpointOptions>(option: Name, value: EndpointOptions[Name]): void {
    const type = typeOf(option);
    const bytes = new Uint8Array(type.bytes);
    type.encode(new DataView(bytes.buffer), `value of ${option}`, value);
    this.setOptBytes(C.FI_OPT_ENDPOINT, enumValue('endpointOption', option, 'option'), bytes);
  }

  /**
   * `fi_getopt(3)`: the value of an option that has no type here, as C has it.
   *
   * @param level - Such as FI_OPT_ENDPOINT.
   * @param name - The option's number.
   * @param length - Bytes of the value, at most 4096.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  getOptBytes(level: number, name: number, length: number): Uint8Array {
    checkInteger('level', level, -(2 ** 31), 2 ** 31 - 1);
    checkInteger('name', name, -(2 ** 31), 2 ** 31 - 1);
    checkInteger('length', length, 1, 4096);
    const value = addon().getOption(this.handle, level, name, length);
    if (typeof value !== 'number') return value;
    checkOption(value, 'fi_getopt', enumName('endpointOption', name));
    throw statusError(value, 'fi_getopt');
  }

  /**
   * `fi_setopt(3)`: sets an option that has no type here.
   *
   * @param level - Such as FI_OPT_ENDPOINT.
   * @param name - The option's number.
   * @param value - As C has it, at most 4096 bytes.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  setOptBytes(level: number, name: number, value: Uint8Array): void {
    checkInteger('level', level, -(2 ** 31), 2 ** 31 - 1);
    checkInteger('name', name, -(2 ** 31), 2 ** 31 - 1);
    checkBytes('value', value);
    checkInteger('value.length', value.byteLength, 1, 4096);
    checkOption(
      addon().setOption(this.handle, level, name, value),
      'fi_setopt',
      enumName('endpointOption', name),
    );
  }

  /** @internal `fi_control(3)` with a value. */
  protected control(command: number, value: bigint): bigint {
    const answer = addon().controlValue(this.handle, command, value);
    if (typeof answer !== 'number') return answer;
    checkOption(answer, 'fi_control', enumName('controlCommand', command));
    throw statusError(answer, 'fi_control');
  }

  /**
   * `fi_control(3)` with FI_GETOPSFLAG: the flags of sends, or of receives, that are given none.
   *
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider does not tell.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  getOpFlags(direction: 'transmit' | 'receive'): bigint {
    return this.control(C.FI_GETOPSFLAG, directionFlag(direction)) & ~directionFlag(direction);
  }

  /**
   * `fi_control(3)` with FI_SETOPSFLAG: sets the flags of sends, or of receives, that are given none.
   *
   * @param flags - Such as ['FI_DELIVERY_COMPLETE'].
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider cannot.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  setOpFlags(direction: 'transmit' | 'receive', flags: Flags): void {
    const bits = checkUint64('flags', flagBits('operation', flags, 'flags'));
    this.control(C.FI_SETOPSFLAG, bits | directionFlag(direction));
  }

  /**
   * `fi_setname(3)`: sets the endpoint's address, before enable() or listen().
   *
   * @param address - In the format of the endpoint's Info.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider chooses addresses itself; FI_EOPBADSTATE after enable();
   *   ERR_FABRIC_ADDRESS for bytes that are no address.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cm.3.html
   */
  setName(address: Uint8Array): void {
    checkBytes('address', address);
    checkInteger('address.length', address.byteLength, 1, 512);
    checkAddress('fi_setname', problemOfAddress(this.info.addressFormat, address));
    checkOption(addon().setName(this.handle, address), 'fi_setname', 'address that can be set');
  }
}

/** @internal FI_TRANSMIT or FI_RECV. */
export function directionFlag(direction: unknown): bigint {
  if (direction === 'transmit') return C.FI_TRANSMIT;
  if (direction === 'receive') return C.FI_RECV;
  throw rangeError('direction', direction, "'transmit' or 'receive'");
}
