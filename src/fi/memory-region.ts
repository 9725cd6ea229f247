// fi_mr(3): memory that a NIC may use.
import {
  FI_HMEM_SYSTEM,
  FI_MR_DMABUF,
  FI_READ,
  FI_RECV,
  FI_REMOTE_READ,
  FI_REMOTE_WRITE,
  FI_SEND,
  FI_WRITE,
} from './constants.js';
import { Counter } from './counter.js';
import { Domain } from './domain.js';
import type { Endpoint } from './endpoint.js';
import {
  check,
  checkBytes,
  checkInteger,
  checkUint64,
  closedError,
  isLacking,
  rangeError,
  statusError,
  typeError,
  unsupportedError,
} from './errors.js';
import { addon, libraryVersion } from './library.js';
import { type DeviceMemory, Memory } from './memory.js';
import { enumValue } from './names.js';
import { FabricObject } from './object.js';
import { ConnectionEndpoint } from './connection-endpoint.js';
import { type Part, putParts } from './parts.js';
import { MAX_PARTS, registers } from './registers.js';
import { RemoteMemory } from './remote-memory.js';

/** libfabric 1.20. */
const FIRST_WITH_DMABUF = (1 << 16) | 20;
/** What a registration may allow: 'read' and 'write' what this side does, the remote ones what peers may do to it. */
export type AccessWord = 'send' | 'recv' | 'read' | 'write' | 'remoteRead' | 'remoteWrite';

/** What a registration allows, as flags of fi_mr_reg(3) or as words. */
export type Access = bigint | readonly AccessWord[];

const accessFlags: Readonly<Record<string, bigint>> = {
  send: FI_SEND,
  recv: FI_RECV,
  read: FI_READ,
  write: FI_WRITE,
  remoteRead: FI_REMOTE_READ,
  remoteWrite: FI_REMOTE_WRITE,
};

/** The flags of fi_mr_reg(3) for what is to be allowed. */
export function accessBits(access: Access): bigint {
  if (typeof access === 'bigint') return checkUint64('access', access);
  if (!Array.isArray(access)) throw typeError('access', access, 'a bigint of flags, or an array of words');
  let bits = 0n;
  for (const word of access as readonly string[]) {
    const bit = accessFlags[word];
    if (bit === undefined) throw typeError('access', word, `one of ${Object.keys(accessFlags).join(', ')}`);
    bits |= bit;
  }
  return bits;
}

// Above what a program would choose by hand.
let lastKey = 0xffffn;

/** A key that was not given out before; a domain with small keys gets small ones. */
function nextKey(domain: Domain): bigint {
  lastKey += 1n;
  return BigInt.asUintN(8 * Math.min(8, domain.info.memoryKeySize || 8), lastKey);
}

// The calls, as native/memory_region.cc numbers them.
const REG = 0;
const REGV = 1;
const REGATTR = 2;

/** What all registrations can be asked for. */
export interface RegisterOptions {
  /** Default send and recv. */
  access?: Access | undefined;
  /**
   * A key of the program's choice, for providers without FI_MR_PROV_KEY; unique in the domain. Default: a number that no
   * other registration of the thread got.
   */
  requestedKey?: bigint | number | undefined;
  /** Flags of fi_mr_reg(3), such as FI_RMA_EVENT where the domain has FI_MR_RMA_EVENT; default 0n. */
  flags?: bigint | undefined;
}

/** What fi_mr_regattr(3) is told besides (struct fi_mr_attr). */
export interface AttributeOptions extends RegisterOptions {
  /** Bytes that a peer needs to reach the memory (auth_key). */
  authKey?: Uint8Array | undefined;
  /** The memory is a dmabuf's: its file descriptor, and where the part begins in it; default 0 (FI_MR_DMABUF). */
  dmabuf?:
    | {
        /** The file descriptor. */
        fd: number;
        /** Where the part begins in it, in bytes. */
        offset?: number | undefined;
      }
    | undefined;
}

/** What a peer needs to map a key that does not fit 64 bits (fi_mr_raw_attr). */
export interface RawKey {
  /** The key, in as many bytes as the provider wants. */
  key: Uint8Array;
  /** Where the memory begins for operations. */
  address: bigint;
}

function checkPartCount(domain: Domain, parts: readonly Part[]): void {
  if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
  // Also looks at each of them.
  const most = Number(domain.info.raw.domain.memoryRegionIovLimit ?? 1);
  putParts('parts', parts, { least: 1, most: Math.max(1, Math.min(MAX_PARTS, most)) });
}

/** The addon sets FI_MR_DMABUF itself: alone, it makes a provider read a description of a dmabuf that is not there. */
function registerFlags(given = 0n): bigint {
  const flags = checkUint64('options.flags', given);
  if ((flags & FI_MR_DMABUF) !== 0n)
    throw rangeError(
      'options.flags',
      given,
      'without FI_MR_DMABUF',
      'Give registerAttributes() options.dmabuf, which sets it',
    );
  return flags;
}

/** What a registration of parts is made of: memory, offset, length of each. */
function partsOf(parts: readonly Part[]): { list: Float64Array; length: number } {
  const length = putParts('parts', parts, { least: 1, most: MAX_PARTS });
  return { list: registers().parts.slice(0, 3 * parts.length), length };
}

/** The device that the parts lie in; undefined where they are the process's own. */
function deviceOf(parts: readonly Part[]): DeviceMemory | undefined {
  const devices = parts.map(({ memory }) => memory.device);
  const [first] = devices;
  for (const [index, device] of devices.entries())
    if (device?.interface !== first?.interface || device?.number !== first?.number)
      throw rangeError(
        `parts[${String(index)}].memory`,
        parts[index].memory,
        'of the same device as parts[0]',
      );
  return first;
}

/**
 * A registration of a Memory, or of parts of several, with a Domain (fi_mr(3)). Operations on a memory of which it holds the
 * whole use its descriptor (fi_mr_desc) by themselves.
 */
export class MemoryRegion extends FabricObject {
  /** What is registered; the first of several. */
  readonly memory: Memory;
  /** `fi_mr_key(3)`: what a peer names this memory by. */
  readonly key: bigint;
  /** The memory's virtual address, which a peer counts from where the domain has FI_MR_VIRT_ADDR. */
  readonly address: bigint;
  /** `fi_mr_desc(3)`: what local operations name it by; 0n where the provider needs nothing. */
  readonly descriptor: bigint;
  /**
   * What to hand to a peer that is to read or write the memory (fi_rma(3)): counts from `address`, or from 0. Of several
   * parts a peer sees one after the other, where it counts from 0; where it counts addresses, each at its own.
   */
  readonly remote: RemoteMemory;

  private constructor(handle: number, domain: Domain, memory: Memory, length: number, access: bigint) {
    super(handle, 'MemoryRegion', [domain]);
    const region = addon().memoryRegion(handle);
    if (region === undefined) throw closedError('the MemoryRegion');
    this.memory = memory;
    this.key = region.key;
    this.address = region.address;
    this.descriptor = region.descriptor;
    const start = domain.info.memoryMode.includes('FI_MR_VIRT_ADDR') ? region.address : 0n;
    this.remote = new RemoteMemory(region.key, start, length, {
      readable: (access & FI_REMOTE_READ) !== 0n,
      writable: (access & FI_REMOTE_WRITE) !== 0n,
    });
  }

  /** The memory's bytes. */
  get bytes(): Uint8Array {
    return this.memory.bytes;
  }

  static async #register(
    domain: Domain,
    call: number,
    parts: readonly Part[],
    options: RegisterOptions,
    attributes?: object,
  ): Promise<MemoryRegion> {
    if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
    const { list, length } = partsOf(parts);
    const access = accessBits(options.access ?? ['send', 'recv']);
    const key = checkUint64('options.requestedKey', options.requestedKey ?? nextKey(domain));
    const flags = registerFlags(options.flags);
    const name = ['fi_mr_reg', 'fi_mr_regv', 'fi_mr_regattr'][call];
    const status = await addon().registerMemory(domain.handle, call, list, access, key, flags, attributes);
    if (isLacking(status))
      throw unsupportedError(`the provider has no ${name} for this memory, or not with these options`, name);
    const handle = check(status, name, `${String(length)} bytes`);
    return new MemoryRegion(handle, domain, parts[0].memory, length, access);
  }

  /**
   * `fi_mr_reg(3)`: registers the whole of a Memory, off the JavaScript thread.
   *
   * @throws RangeError for the flag FI_MR_DMABUF, which is registerAttributes()'s.
   * @throws FabricError FI_ENOMEM where locked memory is limited (`ulimit -l`), FI_ENOKEY where the key is taken.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_mr.3.html
   */
  static async register(
    domain: Domain,
    memory: Memory,
    options: RegisterOptions = {},
  ): Promise<MemoryRegion> {
    if (!(memory instanceof Memory)) throw typeError('memory', memory, 'a Memory');
    if (memory.device !== undefined)
      throw typeError('memory', memory, "the process's own", 'Use registerAttributes() for a device');
    return MemoryRegion.#register(domain, REG, [{ memory }], options);
  }

  /**
   * `fi_mr_regv(3)`: registers parts of memories as one region, off the JavaScript thread.
   *
   * @param parts - At most info.raw.domain.memoryRegionIovLimit; most providers take one.
   * @throws RangeError for more parts; FabricError FI_EINVAL for one that is outside its memory; otherwise as register().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_mr.3.html
   */
  static async registerParts(
    domain: Domain,
    parts: readonly Part[],
    options: RegisterOptions = {},
  ): Promise<MemoryRegion> {
    checkPartCount(domain, parts);
    if (deviceOf(parts) !== undefined)
      throw typeError('parts', parts, "of the process's own memory", 'Use registerAttributes() for a device');
    return MemoryRegion.#register(domain, REGV, parts, options);
  }

  /**
   * `fi_mr_regattr(3)`: as registerParts(), with what else struct fi_mr_attr has; also memory of a device, and a dmabuf.
   *
   * @throws FabricError ERR_FABRIC_UNSUPPORTED for a device's memory on a domain that was opened without FI_HMEM or whose
   *   libfabric does not know the device's interface, and for a dmabuf below libfabric 1.20.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_mr.3.html
   */
  static async registerAttributes(
    domain: Domain,
    parts: readonly Part[],
    options: AttributeOptions = {},
  ): Promise<MemoryRegion> {
    checkPartCount(domain, parts);
    const device = deviceOf(parts);
    const { dmabuf } = options;
    // Whoever does not know of them takes the address for the process's own, and the descriptor for an address.
    if ((device !== undefined || dmabuf !== undefined) && !domain.info.caps.includes('FI_HMEM'))
      throw unsupportedError('the Domain was opened without FI_HMEM', 'fi_mr_regattr');
    if (dmabuf !== undefined && libraryVersion().version < FIRST_WITH_DMABUF)
      throw unsupportedError('libfabric knows dmabufs from 1.20 on', 'fi_mr_regattr');
    if (dmabuf !== undefined && parts.length !== 1)
      throw rangeError('parts.length', parts.length, '1 for a dmabuf');
    const attributes = {
      interface: enumValue('memoryInterface', device?.interface ?? FI_HMEM_SYSTEM, 'device.interface'),
      device: BigInt(device?.number ?? 0),
      authKey: options.authKey === undefined ? undefined : checkBytes('options.authKey', options.authKey),
      dmabufFd:
        dmabuf === undefined ? undefined : checkInteger('options.dmabuf.fd', dmabuf.fd, 0, 2 ** 31 - 1),
      dmabufOffset: BigInt(checkInteger('options.dmabuf.offset', dmabuf?.offset ?? 0, 0, 2 ** 48)),
    };
    return MemoryRegion.#register(domain, REGATTR, parts, options, attributes);
  }

  /**
   * `fi_mr_bind(3)`: lets a Counter count what peers do to the memory, or makes the region an Endpoint's own, where the
   * domain has FI_MR_ENDPOINT; enable() it then. What is bound cannot be closed before the region.
   *
   * @param flags - For a Counter FI_REMOTE_WRITE (default), FI_REMOTE_READ; for an Endpoint 0n.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider cannot: most cannot. FI_EINVAL for flags that it does not
   *   take.
   * @throws RangeError for what belongs to another Domain.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_mr.3.html
   */
  bind(other: Counter | Endpoint, flags?: bigint): void {
    const isCounter = other instanceof Counter;
    if (!isCounter && !(other instanceof ConnectionEndpoint))
      throw typeError('other', other, 'a Counter or an Endpoint');
    this.parents[0].checkOwns('other', other);
    const bits = checkUint64('flags', flags ?? (isCounter ? FI_REMOTE_WRITE : 0n));
    const status = addon().bindMemoryRegion(this.handle, other.handle, bits);
    if (isLacking(status))
      throw unsupportedError('the provider binds nothing of the kind to a MemoryRegion', 'fi_mr_bind');
    check(status, 'fi_mr_bind', 'the MemoryRegion or what is bound to it');
  }

  /**
   * `fi_mr_enable(3)`: makes a region usable that was bound to something (FI_MR_ENDPOINT, FI_MR_RMA_EVENT).
   *
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has no such regions.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_mr.3.html
   */
  enable(): void {
    const status = addon().enableMemoryRegion(this.handle);
    if (isLacking(status)) throw unsupportedError('the provider enables no MemoryRegion', 'fi_mr_enable');
    check(status, 'fi_mr_enable', 'the MemoryRegion');
  }

  /**
   * `fi_mr_refresh(3)`: tells a provider with FI_MR_MMU_NOTIFY that pages of the region have changed.
   *
   * @param parts - Of the memory that is registered.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider needs no such call: none that is tested does.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_mr.3.html
   */
  refresh(parts: readonly Part[], flags = 0n): void {
    const { list } = partsOf(parts);
    const status = addon().refreshMemoryRegion(this.handle, list, checkUint64('flags', flags));
    if (isLacking(status)) throw unsupportedError('the provider has no fi_mr_refresh', 'fi_mr_refresh');
    check(status, 'fi_mr_refresh', 'the MemoryRegion or a Memory');
  }

  /**
   * `fi_mr_raw_attr(3)`: the key as bytes, for providers whose keys are longer than 64 bits (FI_MR_RAW), and the address that
   * belongs to it. A peer turns it into a key of 64 bits with mapRawKey().
   *
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider's keys are no longer.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_mr.3.html
   */
  rawKey(): RawKey {
    const result = addon().rawKey(this.handle, 0n);
    if (typeof result === 'object') return result;
    if (isLacking(result))
      throw unsupportedError('the provider has no raw keys: use `key`', 'fi_mr_raw_attr');
    throw statusError(result, 'fi_mr_raw_attr', 'the MemoryRegion');
  }

  /**
   * `fi_mr_map_raw(3)`: the key that operations name a peer's memory by, from the peer's rawKey(). unmapKey() ends it.
   *
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has no raw keys.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_mr.3.html
   */
  static mapRawKey(domain: Domain, raw: RawKey): bigint {
    if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
    const bytes = checkBytes('raw.key', raw.key);
    const result = addon().mapRawKey(domain.handle, checkUint64('raw.address', raw.address), bytes, 0n);
    if (typeof result === 'bigint') return result;
    if (isLacking(result)) throw unsupportedError('the provider has no raw keys', 'fi_mr_map_raw');
    throw statusError(result, 'fi_mr_map_raw', 'the Domain');
  }

  /**
   * `fi_mr_unmap_key(3)`: ends what mapRawKey() gave.
   *
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has no raw keys.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_mr.3.html
   */
  static unmapKey(domain: Domain, key: bigint): void {
    if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
    const status = addon().unmapKey(domain.handle, checkUint64('key', key));
    if (isLacking(status)) throw unsupportedError('the provider has no raw keys', 'fi_mr_unmap_key');
    check(status, 'fi_mr_unmap_key', 'the Domain');
  }
}
