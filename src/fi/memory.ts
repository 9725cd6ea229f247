// Memory that operations use. In flight, memory must neither move nor be freed; JavaScript's own buffers can be
// transferred away at any time, so operations take only memory that the addon owns.
import { FI_HMEM_SYSTEM } from './constants.js';
import {
  check,
  checkInteger,
  checkUint64,
  closedError,
  rangeError,
  statusError,
  typeError,
  unsupportedError,
} from './errors.js';
import { addon } from './library.js';
import { enumValue } from './names.js';

const collected = new FinalizationRegistry<number>((handle) => {
  addon().freeMemory(handle);
});

// Which Memory a buffer belongs to.
const byBuffer = new WeakMap<ArrayBufferLike, WeakRef<Memory>>();

/** Memory of a device (struct fi_mr_attr: iface, device, mr_iov). */
export interface DeviceMemory {
  /** A C name of enum fi_hmem_iface: 'FI_HMEM_CUDA', 'FI_HMEM_ROCR', 'FI_HMEM_ZE', 'FI_HMEM_NEURON', 'FI_HMEM_SYNAPSEAI'. */
  readonly interface: string;
  /** Which device, as its interface counts them; default 0. */
  readonly number?: number | bigint | undefined;
  /** The pointer. */
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
}

/**
 * Page-aligned memory that the addon owns and JavaScript sees as one ArrayBuffer. Operations in flight pin it: free()
 * gives it back when the last of them is done. It needs no close(): when it is forgotten it is freed.
 */
export class Memory implements Disposable {
  readonly #handle: number;
  #freed = false;
  /** The memory; empty for a device's. Never transfer its buffer; a structuredClone of a view copies all of it. */
  readonly bytes: Uint8Array;
  /** Its bytes. */
  readonly length: number;
  /** What it is where it is a device's; undefined for the process's own. */
  readonly device: DeviceMemory | undefined;
  /** `length`, and the room behind the bytes that a receive may be told of. */
  readonly capacity: number;

  private constructor(handle: number, buffer: ArrayBuffer, device?: DeviceMemory) {
    this.capacity = addon().memoryCapacity(handle);
    this.#handle = handle;
    this.bytes = new Uint8Array(buffer);
    this.length = device?.length ?? this.bytes.byteLength;
    this.device = device;
    collected.register(this, handle, this);
    byBuffer.set(buffer, new WeakRef(this));
  }

  /** The Memory that a view belongs to; undefined for a view of any other buffer. */
  static of(view: ArrayBufferView): Memory | undefined {
    return byBuffer.get(view.buffer)?.deref();
  }

  /**
   * Maps `bytes` bytes, rounded up to whole pages (mmap(2)); zeroed.
   *
   * @param options - `overflow`: bytes of address space behind them, not shown in `bytes`, for receives: several
   *   providers hang, lose their connection or crash when a message is longer than its buffer. A receive that names
   *   `capacity` instead of `length` never meets that. Costs nothing until a message spills; default 0. Less is mapped
   *   where the system does not give so much: see `capacity`.
   * @throws FabricError FI_ENOMEM where the system has none.
   */
  static allocate(bytes: number, options: { overflow?: number } = {}): Memory {
    checkInteger('bytes', bytes, 1, 2 ** 40);
    const overflow = checkInteger('options.overflow', options.overflow ?? 0, 0, 2 ** 40);
    const handle = check(addon().allocateMemory(bytes, overflow), 'mmap', `${String(bytes)} bytes`);
    const buffer = addon().memoryBuffer(handle);
    if (buffer === undefined) {
      addon().freeMemory(handle);
      throw unsupportedError('this runtime allows no external ArrayBuffers (Electron, sandboxed V8)');
    }
    return new Memory(handle, buffer);
  }

  /**
   * Memory of a device, such as a GPU, that something else allocated (cudaMalloc and its like); no C call. JavaScript cannot
   * look at it, and it stays the allocator's: keep it until no operation and no MemoryRegion uses it. Operations take it once
   * it is registered with MemoryRegion.registerAttributes(), on domains opened with FI_HMEM; none can inject it.
   *
   * @throws TypeError for an interface that is no name; RangeError for one that is none, or no length.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_mr.3.html
   */
  static ofDevice(device: DeviceMemory): Memory {
    const { interface: kind, address, length, number = 0 } = device;
    // A number would reach the provider, which looks its interfaces up in a table without asking how long that is.
    if (typeof kind !== 'string')
      throw typeError('device.interface', kind, "a C name of enum fi_hmem_iface, such as 'FI_HMEM_CUDA'");
    if (enumValue('memoryInterface', kind, 'device.interface') === FI_HMEM_SYSTEM)
      throw rangeError('device.interface', kind, 'that of a device', 'Use Memory.allocate()');
    checkInteger('device.length', length, 1, 2 ** 48);
    const own = { interface: kind, number, address: checkUint64('device.address', address), length };
    if (typeof number !== 'bigint') checkInteger('device.number', number, 0, 2 ** 31 - 1);
    if (own.address === 0n) throw rangeError('device.address', address, 'an address');
    return new Memory(addon().deviceMemory(own.address, length), new ArrayBuffer(0), Object.freeze(own));
  }

  /** Names the memory in Endpoint.batch. */
  get id(): number {
    return this.handle;
  }

  /** @internal */
  get handle(): number {
    if (this.#freed) throw closedError('the Memory');
    return this.#handle;
  }

  /** Gives back to the system what a long message has filled behind the bytes (madvise(2)). */
  trim(): void {
    addon().trimMemory(this.handle);
  }

  /** Gives the memory back, once no operation uses it and no view of it is left. Idempotent. */
  free(): void {
    if (this.#freed) return;
    const status = addon().freeMemory(this.#handle);
    if (status < 0)
      throw statusError(status, 'free', 'a MemoryRegion still registers the memory; close that first');
    this.#freed = true;
    collected.unregister(this);
  }

  /** free(), for `using`. */
  [Symbol.dispose](): void {
    this.free();
  }
}
