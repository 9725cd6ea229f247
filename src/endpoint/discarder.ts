// Before some providers close (Provider.readsBeforeClose) what has arrived must be read, or what was sent may be lost.
import type { Core } from './core.js';
import { Kind, type Operation } from './operation.js';

const BUFFERS = 16;
const BUFFER_BYTES = 65536;
/** Nothing may arrive for so long, twice, before it counts as quiet. */
const QUIET_MS = 5;

export class Discarder {
  readonly #core: Core;
  readonly #own = new Set<Operation>();
  #arrived = 0;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Posts a buffer for whatever comes. */
  #post(): boolean {
    const core = this.#core;
    const operation = core.operations.takeReceive();
    if (operation === undefined) return false;
    const chunk = core.memory.takeReceive(BUFFER_BYTES);
    let posted = false;
    try {
      posted = core.endpoint.recv(chunk.memory, chunk.offset, chunk.room || BUFFER_BYTES, operation.context);
    } catch {
      // The endpoint is past receiving: there is nothing to save.
    }
    if (!posted) {
      core.operations.release(operation);
      core.memory.release(chunk);
      return false;
    }
    operation.kind = Kind.Pool;
    operation.chunk = chunk;
    this.#own.add(operation);
    return true;
  }

  /** Whether a completed receive was one of these; it is posted again. */
  completed(operation: Operation): boolean {
    this.#arrived += 1;
    if (!this.#own.delete(operation)) return false;
    const { chunk } = operation;
    this.#core.operations.release(operation);
    if (chunk !== undefined) this.#core.memory.release(chunk);
    this.#post();
    return true;
  }

  /** Until nothing arrives, at most so long. */
  async run(boundMs: number): Promise<void> {
    for (let posted = 0; posted < BUFFERS && this.#post();) posted += 1;
    const end = performance.now() + boundMs;
    for (let quiet = 0, seen = -1; quiet < 2 && performance.now() < end;) {
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
      this.#core.poll(false);
      quiet = this.#arrived === seen ? quiet + 1 : 0;
      seen = this.#arrived;
    }
  }
}
