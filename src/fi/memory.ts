// Memory that operations use. In flight, memory must neither move nor be freed; JavaScript's own buffers can be
// transferred away at any time, so operations take only memory that the addon owns.
import { check, checkInteger, closedError, statusError, unsupportedError } from './errors.js';
import { addon } from './library.js';

const collected = new FinalizationRegistry<number>((handle) => {
  addon().freeMemory(handle);
});

// Which Memory a buffer belongs to.
const byBuffer = new WeakMap<ArrayBufferLike, WeakRef<Memory>>();

/**
 * Page-aligned memory that the addon owns and JavaScript sees as one ArrayBuffer. Operations in flight pin it: free()
 * gives it back when the last of them is done. It needs no close(): when it is forgotten it is freed.
 */
export class Memory implements Disposable {
  readonly #handle: number;
  #freed = false;
  /** The memory. Never transfer its buffer; a structuredClone of a view copies all of it. */
  readonly bytes: Uint8Array;
  /** `length`, and the room behind the bytes that a receive may be told of. */
  readonly capacity: number;

  private constructor(handle: number, buffer: ArrayBuffer) {
    this.capacity = addon().memoryCapacity(handle);
    this.#handle = handle;
    this.bytes = new Uint8Array(buffer);
    collected.register(this, handle, this);
    byBuffer.set(buffer, new WeakRef(this));
  }

  /** The Memory that a view belongs to; undefined for a view of any other buffer. */
  static of(view: Uint8Array): Memory | undefined {
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

  /** Bytes that JavaScript sees. */
  get length(): number {
    return this.bytes.byteLength;
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
