// The end of an endpoint: drain, reject, close in order, every step bounded.
import { FI_EBUSY } from '../fi/errno.js';
import { FabricError, checkInteger, closedError } from '../fi/errors.js';
import type { FabricObject } from '../fi/index.js';
import type { Core } from './core.js';
import type { Regions } from './memory.js';
import { moveOut } from './neighbours.js';
import { fillsLease } from './operation.js';
import type { PeerTable } from './peers.js';
import type { Receiver } from './receiver.js';
import type { Sender } from './sender.js';

const DEFAULT_BOUND_MS = 5000;
/** A provider that works needs so long to close, however little the program wants to wait for its sends. */
const LEAST_BOUND_MS = 100;

/** Whether a promise settled within a time. Its rejection is the caller's to look at. */
async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => {
      resolve(false);
    }, ms);
  });
  const settled = promise.then(
    () => true,
    () => true,
  );
  const result = await Promise.race([settled, late]);
  clearTimeout(timer);
  return result;
}

/** What there is to close. */
export interface Parts {
  readonly core: Core;
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly peers: PeerTable;
  readonly regions: Regions;
  readonly onClosed: () => void;
}

/** One step of the end. */
interface Step {
  /** Whether it is done; else it is to be left behind. */
  close(): Promise<boolean>;
  abandon(): void;
}

export class Closing {
  readonly #parts: Parts;
  readonly #core: Core;
  #promise: Promise<void> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#core = parts.core;
  }

  close(timeoutMs: number | undefined): Promise<void> {
    if (this.#promise !== undefined) return this.#promise;
    try {
      checkInteger('options.timeoutMs', timeoutMs ?? DEFAULT_BOUND_MS, 0, 0x7fffffff);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#promise = this.#close(timeoutMs ?? DEFAULT_BOUND_MS);
    return this.#promise;
  }

  async #close(boundMs: number): Promise<void> {
    const core = this.#core;
    const { sender, receiver, peers, onClosed } = this.#parts;
    // The process stays until the close is done, whatever unref() said.
    core.engine.ref();
    core.state = 'closing';
    const reason = closedError('the Endpoint');
    receiver.rejectAll(reason);
    await within(sender.queue.drain(), boundMs);
    sender.queue.rejectAll(reason);
    const { readsBeforeClose } = core.opened.provider;
    if (readsBeforeClose === 'always' || (readsBeforeClose === 'afterSending' && core.counters.anythingSent))
      await receiver.discard().run(boundMs);
    core.state = 'closed';
    core.engine.stop();
    const close = (): Promise<void> => this.#closeObjects(boundMs);
    if (core.opened.provider.sharedMemoryFiles) await moveOut(core.endpoint, close);
    else await close();
    this.#releaseAll();
    peers.closeAll();
    onClosed();
  }

  /**
   * fi_close in libfabric's order, memory once nothing uses it and before the domain that it is registered with. A step
   * that fails, or does not come back within the bound, is left behind with what it needs.
   */
  async #closeObjects(boundMs: number): Promise<void> {
    const { endpoint, queue, addresses, domain, events, fabric } = this.#core.opened;
    const bound = Math.max(boundMs, LEAST_BOUND_MS);
    const object = (one: FabricObject): Step => ({
      close: () => this.#closeOne(one, bound),
      abandon: () => {
        one.abandon();
      },
    });
    const memory: Step = {
      close: () => this.#closeMemory(bound),
      abandon: () => {
        this.#parts.regions.abandon();
        this.#core.memory.abandon();
      },
    };
    const steps = [object(endpoint), memory, ...[queue, addresses, domain, events, fabric].map(object)];
    for (const [index, step] of steps.entries()) {
      if (await step.close()) continue;
      for (const left of steps.slice(index)) left.abandon();
      return;
    }
  }

  async #closeMemory(boundMs: number): Promise<boolean> {
    const failures: unknown[] = [];
    const closing = Promise.all([this.#parts.regions.close(), this.#core.memory.close()]).then((lists) => {
      failures.push(...lists.flat());
    });
    if (!(await within(closing, boundMs))) {
      this.#warn(`unregistering memory did not end within ${String(boundMs)} ms; it is left to itself`);
      return false;
    }
    if (failures.length === 0) return true;
    this.#warn(`unregistering memory failed ${String(failures.length)} times: ${String(failures[0])}`);
    return false;
  }

  async #closeOne(object: FabricObject, boundMs: number): Promise<boolean> {
    const name = object.constructor.name;
    let failure: Error | undefined;
    const closing = object.close().catch((error: unknown) => {
      failure = error as Error;
    });
    if (!(await within(closing, boundMs))) {
      this.#warn(`fi_close of the ${name} did not return within ${String(boundMs)} ms; it is left to itself`);
      return false;
    }
    if (failure === undefined) return true;
    // After a peer died some providers (tcp;ofi_rxm) keep references for ever and say busy.
    const busy = failure instanceof FabricError && failure.errno === FI_EBUSY;
    if (!busy) this.#warn(`closing the ${name} failed: ${String(failure)}`);
    return false;
  }

  #warn(message: string): void {
    process.emitWarning(message, { type: 'FabricWarning', code: 'FABRIC_CLOSE' });
  }

  /** What was in flight is over: fi_close returned, or the memory is left with the provider until it does. */
  #releaseAll(): void {
    const { operations } = this.#core;
    const reason = closedError('the Endpoint');
    for (const operation of operations.inFlight()) {
      const { released, lease, send, receive } = operation;
      const fills = fillsLease(operation.kind);
      operations.release(operation);
      lease?.end(fills);
      send?.reject(reason);
      receive?.reject(reason);
      released?.();
    }
  }
}
