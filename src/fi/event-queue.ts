// fi_eq(3): events that belong to no operation.
import { Fabric } from './fabric.js';
import { FI_JOIN_COMPLETE, FI_NOTIFY, FI_WAIT_NONE } from './constants.js';
import {
  STATUS_AGAIN,
  check,
  checkBytes,
  checkInteger,
  isLacking,
  rangeError,
  statusError,
  typeError,
  unsupportedError,
} from './errors.js';
import { type Info, readable } from './info.js';
import { addon } from './library.js';
import { enumName, enumValue } from './names.js';
import { FabricObject, opened } from './object.js';
import type { RawEvent } from '../native.js';

/** One event (fi_eq_read(3)): either `event` or, where something failed, `error`. */
export interface FabricEvent {
  /** Number of the event (FI_NOTIFY, FI_CONNREQ, …); undefined for an error. */
  readonly event: number | undefined;
  /** The C name of the event, such as 'FI_CONNECTED'; '' for an error. */
  readonly name: string;
  /**
   * The Endpoint, PassiveEndpoint or, with FI_JOIN_COMPLETE, CollectiveGroup that it is about; undefined where that is closed,
   * or the event is about none.
   */
  readonly source: FabricObject | undefined;
  /** With FI_CONNREQ: what to open an Endpoint with that accepts, or to give to reject(). */
  readonly info: Info | undefined;
  /** What the peer gave to connect(), accept() or reject(); empty where it gave nothing. Providers may pad it. */
  readonly data: Uint8Array;
  /** A positive fi_errno; 0 where nothing failed. */
  readonly error: number;
  /** The provider's own error number. */
  readonly providerError: number;
  /** The provider's own words for an error (fi_eq_strerror). */
  readonly text: string;
}

/** An event queue (fi_eq(3)). One is always bound to an endpoint here: EFA aborts the process where there is none. */
export class EventQueue extends FabricObject {
  readonly #sources = new Map<number, WeakRef<FabricObject>>();

  /** The file descriptor that tells of events (FI_GETWAIT); -1 where there is none. */
  readonly waitFd: number;

  private constructor(handle: number, fabric: Fabric) {
    super(handle, 'EventQueue', [fabric]);
    this.waitFd = addon().eventQueueFd(handle);
  }

  /**
   * `fi_eq_open(3)`: opens an event queue.
   *
   * @param options - `size`: events it holds; default 64. `waitObject`: a C name or number of enum fi_wait_obj; default
   *   FI_WAIT_NONE. With FI_WAIT_FD, `waitFd` tells of events.
   * @throws FabricError FI_ENOSYS where the provider lacks the wait object.
   */
  static async open(
    fabric: Fabric,
    options: { size?: number; waitObject?: string | number } = {},
  ): Promise<EventQueue> {
    if (!(fabric instanceof Fabric)) throw typeError('fabric', fabric, 'a Fabric');
    const size = checkInteger('options.size', options.size ?? 64, 1, 1 << 20);
    const wait = enumValue('waitObject', options.waitObject ?? FI_WAIT_NONE, 'options.waitObject');
    const about = `wait object ${enumName('waitObject', wait)}`;
    const handle = await opened(addon().openEventQueue(fabric.handle, size, wait), 'fi_eq_open', about);
    return new EventQueue(handle, fabric);
  }

  /** @internal The queue may tell of an object from now on. */
  attach(source: FabricObject): void {
    this.#sources.set(source.handle, new WeakRef(source));
    for (const [handle, known] of this.#sources)
      if (known.deref()?.closed !== false) this.#sources.delete(handle);
  }

  #eventOf(raw: RawEvent | number, call: string): FabricEvent | undefined {
    if (raw === STATUS_AGAIN) return undefined;
    if (typeof raw === 'number') throw statusError(raw, call, 'the EventQueue');
    const { event, error } = raw;
    const info = raw.info === undefined ? undefined : readable(raw.info);
    return {
      event,
      name: event === undefined ? '' : enumName('event', event),
      source: this.#sources.get(raw.handle)?.deref(),
      info,
      data: raw.data,
      error,
      providerError: raw.providerError,
      text: raw.text,
    };
  }

  /**
   * `fi_eq_write(3)`: puts an event of the program's own into the queue.
   *
   * @param event - FI_NOTIFY, or any number above FI_JOIN_COMPLETE.
   * @param data - What read() will give as the event's `data`; at most 4096 bytes. Some providers lose an event without any.
   * @returns False where the queue is full.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider cannot.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_eq.3.html
   */
  write(event: number, data: Uint8Array = new Uint8Array(0)): boolean {
    checkInteger('event', event, 0, 2 ** 31 - 1);
    if (event !== FI_NOTIFY && event <= FI_JOIN_COMPLETE)
      throw rangeError(
        'event',
        event,
        'FI_NOTIFY, or above FI_JOIN_COMPLETE',
        "The others are libfabric's own",
      );
    checkInteger('data.length', checkBytes('data', data).byteLength, 0, 4096);
    const written = addon().writeEvent(this.handle, event, data);
    if (written === STATUS_AGAIN) return false;
    if (isLacking(written)) throw unsupportedError('the provider has no fi_eq_write', 'fi_eq_write');
    check(written, 'fi_eq_write', 'the EventQueue');
    return true;
  }

  /**
   * `fi_eq_read(3)` and `fi_eq_readerr(3)`: the next event; undefined where there is none. Never blocks. It may be what makes
   * progress: with tcp of libfabric 1.17 a side's connections go on only while its own EventQueue is read, so the side that
   * connects must read its queue for the other to hear of it.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_eq.3.html
   */
  read(): FabricEvent | undefined {
    return this.#eventOf(addon().readEvent(this.handle), 'fi_eq_read');
  }

  /**
   * `fi_eq_sread(3)`: waits for the next event, off the JavaScript thread.
   *
   * @param timeoutMs - Bound on the wait.
   * @returns The event; undefined where none came within the time.
   * @throws FabricError ERR_FABRIC_CLOSED where the queue was closed meanwhile.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_eq.3.html
   */
  async sread(timeoutMs: number): Promise<FabricEvent | undefined> {
    checkInteger('timeoutMs', timeoutMs, 0, 2 ** 31 - 1);
    return this.#eventOf(await addon().waitEvent(this.handle, timeoutMs), 'fi_eq_sread');
  }
}
