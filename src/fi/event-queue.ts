// fi_eq(3): events that belong to no operation.
import { Fabric } from './fabric.js';
import { STATUS_AGAIN, checkInteger, statusError, typeError } from './errors.js';
import { addon } from './library.js';
import { FabricObject, opened } from './object.js';

/** One event (fi_eq_read(3)): either `event` or, where something failed, `error`. */
export interface FabricEvent {
  /** Number of the event (FI_NOTIFY, FI_CONNREQ, …); undefined for an error. */
  readonly event: number | undefined;
  /** A positive fi_errno; 0 where nothing failed. */
  readonly error: number;
  /** The provider's own error number. */
  readonly providerError: number;
  /** The provider's own words for an error. */
  readonly text: string;
}

/** An event queue (fi_eq(3)). One is always bound to an endpoint here: EFA aborts the process where there is none. */
export class EventQueue extends FabricObject {
  private constructor(handle: number, fabric: Fabric) {
    super(handle, 'EventQueue', [fabric]);
  }

  /**
   * `fi_eq_open(3)`: opens an event queue without a wait object.
   *
   * @param options - `size`: events it holds; default 64.
   */
  static async open(fabric: Fabric, options: { size?: number } = {}): Promise<EventQueue> {
    if (!(fabric instanceof Fabric)) throw typeError('fabric', fabric, 'a Fabric');
    const size = checkInteger('options.size', options.size ?? 64, 1, 1 << 20);
    const handle = await opened(addon().openEventQueue(fabric.handle, size), 'fi_eq_open');
    return new EventQueue(handle, fabric);
  }

  /** `fi_eq_read(3)` and `fi_eq_readerr(3)`: the next event; undefined where there is none. Never blocks. */
  read(): FabricEvent | undefined {
    const result = addon().readEvent(this.handle);
    if (result === STATUS_AGAIN) return undefined;
    if (typeof result === 'number') throw statusError(result, 'fi_eq_read');
    return {
      event: result.event,
      error: result.error,
      providerError: result.providerError ?? 0,
      text: result.text ?? '',
    };
  }
}
