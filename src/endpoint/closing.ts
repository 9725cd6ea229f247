// The end of an endpoint: drain, reject, close in order, every step bounded.
import { FI_EBUSY } from '../fi/errno.js';
import { FabricError, checkInteger, closedError } from '../fi/errors.js';
import type { FabricObject } from '../fi/index.js';
import type { Core } from './core.js';
import { Kind } from './operation.js';
import type { PeerTable } from './peers.js';
import type { Receiver } from './receiver.js';
import type { Sender } from './sender.js';

const DEFAULT_BOUND_MS = 5000;

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

export class Closing {
  readonly #core: Core;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #peers: PeerTable;
  readonly #onClosed: () => void;
  #promise: Promise<void> | undefined;

  constructor(core: Core, sender: Sender, receiver: Receiver, peers: PeerTable, onClosed: () => void) {
    this.#core = core;
    this.#sender = sender;
    this.#receiver = receiver;
    this.#peers = peers;
    this.#onClosed = onClosed;
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
    // The process stays until the close is done, whatever unref() said.
    core.engine.ref();
    core.state = 'closing';
    const reason = closedError('the Endpoint');
    this.#receiver.rejectAll(reason);
    await within(this.#sender.queue.drain(), boundMs);
    this.#sender.queue.rejectAll(reason);
    const { readsBeforeClose } = core.opened.provider;
    if (
      readsBeforeClose === 'always' ||
      (readsBeforeClose === 'afterSending' && core.counters.messagesSent !== 0)
    )
      await this.#receiver.discard().run(boundMs);
    core.state = 'closed';
    core.engine.stop();
    await this.#closeObjects(boundMs);
    this.#releaseAll();
    this.#peers.closeAll();
    this.#onClosed();
  }

  /** fi_close in libfabric's order. A step that does not come back within the bound is left behind with what it needs. */
  async #closeObjects(boundMs: number): Promise<void> {
    const { endpoint, queue, addresses, domain, events, fabric } = this.#core.opened;
    const rest: FabricObject[] = [endpoint, queue, addresses, domain, events, fabric];
    for (let object = rest.shift(); object !== undefined; object = rest.shift()) {
      const closed = await this.#closeOne(object, boundMs);
      // Memory is unregistered once nothing uses it, and before the domain it is registered with.
      const freed = closed && (object !== endpoint || (await within(this.#core.memory.close(), boundMs)));
      if (freed) continue;
      for (const left of rest) left.abandon();
      return;
    }
  }

  async #closeOne(object: FabricObject, boundMs: number): Promise<boolean> {
    const name = object.constructor.name;
    let failure: Error | undefined;
    const closing = object.close().catch((error: unknown) => {
      failure = error as Error;
    });
    if (!(await within(closing, Math.max(boundMs, 100)))) {
      this.#warn(`fi_close of the ${name} did not return within ${String(boundMs)} ms; it is left to itself`);
      return false;
    }
    if (failure === undefined) return true;
    // After a peer died some providers (tcp;ofi_rxm) keep references for ever and say busy.
    const busy = failure instanceof FabricError && failure.errno === FI_EBUSY;
    if (!busy) this.#warn(`closing the ${name} failed: ${String(failure)}`);
    object.abandon();
    return false;
  }

  #warn(message: string): void {
    process.emitWarning(message, { type: 'FabricWarning', code: 'FABRIC_CLOSE' });
  }

  /** What was in flight is over: fi_close returned, or the memory is left behind with the provider. */
  #releaseAll(): void {
    const { operations } = this.#core;
    const reason = closedError('the Endpoint');
    for (const operation of operations.inFlight()) {
      const { released, lease, send, receive } = operation;
      const isReceive = operation.kind >= Kind.Receive;
      operations.release(operation);
      lease?.end(isReceive);
      send?.reject(reason);
      receive?.reject(reason);
      released?.();
    }
  }
}
