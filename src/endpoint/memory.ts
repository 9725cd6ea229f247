// An endpoint's memory, as programs see it: leases for messages, and regions that peers may read and write.
import {
  FI_REMOTE_READ,
  FI_REMOTE_WRITE,
  Memory,
  MemoryRegion,
  type Access,
  accessBits,
} from '../fi/index.js';
import { checkInteger, closedError, typeError, unsupportedError } from '../fi/errors.js';
import type { Core } from './core.js';
import { Lease, failuresOf } from './slab.js';

/** Memory for messages without a copy, and memory that peers may read and write. */
export interface EndpointMemory {
  /** Registered memory of so many bytes, for messages that are to be sent and received without a copy. */
  alloc(bytes: number): Lease;
  /**
   * `fi_mr_reg(3)`: registers memory with the endpoint's domain. It belongs to the endpoint: it stays registered until
   * its own close(), or the endpoint's. Its `bytes` are the memory, its `remote` is what to hand to a peer.
   *
   * Close a region, and forget its `bytes`, only when no peer uses it any more (tell them, and wait for their answer): what
   * is under way may still write to the memory after the close, whatever it is used for by then. What starts later is
   * refused by most providers (a CompletionError there). shm refuses nothing: a read, an atomic, or a write that waits for
   * 'delivery', of memory that is no longer registered never completes; other writes resolve, and with libfabric 1.17 they
   * still reach the memory.
   *
   * @param memory - A number of bytes to allocate, zeroed; or a Memory of `libfabric/fi`, or its `bytes`: always the whole
   *   of it. A part of one, such as a Lease's data, is refused: what lies beside it would be open to peers too. Hand out
   *   `remote.slice()` for less. A program's own buffers cannot be registered: they may move.
   * @param access - What it is for. Default send and recv: no peer can reach it. `['remoteRead', 'remoteWrite']` lets
   *   every peer that can reach the endpoint, and guesses or learns the key, read and write it.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED for remote access where the endpoint was opened without 'rma' and 'atomic'.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_mr.3.html
   */
  register(memory: number | Uint8Array | Memory, access?: Access): Promise<MemoryRegion>;
}

const LARGEST = 2 ** 40;
const REMOTE = FI_REMOTE_READ | FI_REMOTE_WRITE;

function memoryOf(given: number | Uint8Array | Memory): Memory {
  if (typeof given === 'number') return Memory.allocate(checkInteger('memory', given, 1, LARGEST));
  if (given instanceof Memory) return given;
  const memory = given instanceof Uint8Array ? Memory.of(given) : undefined;
  if (memory === undefined)
    throw typeError(
      'memory',
      given,
      'a number of bytes, a Memory, or its bytes',
      "A program's own buffers may move: give a number, and use the region's bytes",
    );
  // A registration is of the whole: peers would reach what lies beside the part, such as other leases.
  if (given !== memory.bytes)
    throw typeError(
      'memory',
      given,
      'all the bytes of a Memory: its `bytes`',
      "Register the whole, and hand out a slice() of the region's remote; a Lease's memory serves others after it",
    );
  return memory;
}

/** The regions of an endpoint: they go with it. */
export class Regions {
  readonly #core: Core;
  readonly #open = new Set<MemoryRegion>();
  readonly #opening = new Set<Promise<unknown>>();
  #sweepAt = 64;
  #abandoned = false;

  constructor(core: Core) {
    this.#core = core;
  }

  /** What programs get of it. */
  get forPrograms(): EndpointMemory {
    return Object.freeze({
      alloc: (bytes: number) => this.#alloc(bytes),
      register: (memory: number | Uint8Array | Memory, access?: Access) => this.#register(memory, access),
    });
  }

  #alloc(bytes: number): Lease {
    this.#core.requireOpen();
    return new Lease(this.#core.memory, bytes);
  }

  async #register(
    given: number | Uint8Array | Memory,
    access: Access = ['send', 'recv'],
  ): Promise<MemoryRegion> {
    const core = this.#core;
    core.requireOpen();
    const bits = accessBits(access);
    const { caps } = core.opened.info;
    if ((bits & REMOTE) !== 0n && !caps.includes('FI_RMA') && !caps.includes('FI_ATOMIC'))
      throw unsupportedError("memory for peers needs an endpoint that was opened with 'rma' or 'atomic'");
    const opening = MemoryRegion.register(core.opened.domain, memoryOf(given), { access: bits });
    this.#opening.add(opening);
    try {
      const region = await opening;
      if (this.#abandoned) region.abandon();
      // Closed meanwhile: close() waits for it, and closes it.
      this.#add(region);
      if (core.state !== 'open') throw closedError('the Endpoint');
      return region;
    } finally {
      this.#opening.delete(opening);
    }
  }

  #add(region: MemoryRegion): void {
    this.#open.add(region);
    if (this.#open.size < this.#sweepAt) return;
    // Those that the program has closed itself.
    for (const one of this.#open) if (one.closed) this.#open.delete(one);
    this.#sweepAt = 2 * this.#open.size + 64;
  }

  /**
   * At the endpoint's end, when nothing can reach the memory any more and before the domain closes.
   *
   * @returns What failed.
   */
  async close(): Promise<unknown[]> {
    await Promise.allSettled(this.#opening);
    return failuresOf([...this.#open].map((region) => region.close()));
  }

  /** Gives up what close() could not close: it stays registered, and so allocated, until the process ends. */
  abandon(): void {
    this.#abandoned = true;
    for (const region of this.#open) region.abandon();
    this.#open.clear();
  }
}
