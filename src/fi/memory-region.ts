// fi_mr(3): memory that a NIC may use.
import { Domain } from './domain.js';
import { FI_READ, FI_RECV, FI_REMOTE_READ, FI_REMOTE_WRITE, FI_SEND, FI_WRITE } from './constants.js';
import { checkUint64, closedError, typeError } from './errors.js';
import { addon } from './library.js';
import { Memory } from './memory.js';
import { FabricObject, opened } from './object.js';

/** What a registration allows, as flags of fi_mr_reg(3) or as words. */
export type Access = bigint | readonly ('send' | 'recv' | 'read' | 'write' | 'remoteRead' | 'remoteWrite')[];

const accessFlags: Readonly<Record<string, bigint>> = {
  send: FI_SEND,
  recv: FI_RECV,
  read: FI_READ,
  write: FI_WRITE,
  remoteRead: FI_REMOTE_READ,
  remoteWrite: FI_REMOTE_WRITE,
};

function accessBits(access: Access): bigint {
  if (typeof access === 'bigint') return access;
  let bits = 0n;
  for (const word of access) {
    const bit = accessFlags[word];
    if (bit === undefined) throw typeError('access', word, `one of ${Object.keys(accessFlags).join(', ')}`);
    bits |= bit;
  }
  return bits;
}

/** A registration of a Memory with a Domain (fi_mr(3)). Operations on the memory use its descriptor by themselves. */
export class MemoryRegion extends FabricObject {
  /** What is registered. */
  readonly memory: Memory;
  /** `fi_mr_key(3)`: what a peer names this memory by. */
  readonly key: bigint;
  /** The memory's virtual address, which a peer counts from where the domain has FI_MR_VIRT_ADDR. */
  readonly address: bigint;

  private constructor(handle: number, domain: Domain, memory: Memory, key: bigint, address: bigint) {
    super(handle, 'MemoryRegion', [domain]);
    this.memory = memory;
    this.key = key;
    this.address = address;
  }

  /**
   * `fi_mr_reg(3)`: registers the whole of a Memory, off the JavaScript thread.
   *
   * @param options - `access`: default send and recv. `requestedKey`: a key of the program's choice, for providers
   *   without FI_MR_PROV_KEY; unique in the domain; default 0n.
   * @throws FabricError FI_ENOMEM where locked memory is limited (`ulimit -l`), FI_ENOKEY where the key is taken.
   */
  static async register(
    domain: Domain,
    memory: Memory,
    options: { access?: Access; requestedKey?: bigint | number } = {},
  ): Promise<MemoryRegion> {
    if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
    if (!(memory instanceof Memory)) throw typeError('memory', memory, 'a Memory');
    const access = accessBits(options.access ?? ['send', 'recv']);
    const key = checkUint64('options.requestedKey', options.requestedKey ?? 0n);
    const handle = await opened(
      addon().registerMemory(domain.handle, memory.handle, access, key),
      'fi_mr_reg',
      `${String(memory.length)} bytes`,
    );
    const region = addon().memoryRegion(handle);
    if (region === undefined) throw closedError('the MemoryRegion');
    return new MemoryRegion(handle, domain, memory, region.key, region.address);
  }
}
