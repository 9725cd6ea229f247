// Endpoints of one process that reach each other through memory (native/shm_neighbours.h says why they close together).
import type { Endpoint as FiEndpoint } from '../fi/index.js';
import { addon } from '../fi/library.js';

/** How often to look whether another thread's endpoints are gone. */
const LOOK_AGAIN_MS = 100;

/** Endpoints that are closed for the program and not for libfabric, with how to close them. */
const resting = new Map<FiEndpoint, () => Promise<void>>();
let timer: NodeJS.Timeout | undefined;

/** An endpoint opened. Others of the process may be told its contact. */
export function moveIn(endpoint: FiEndpoint, contact: string): void {
  addon().shmEnter(endpoint.handle, contact);
}

/** It was told a contact, which may be that of another of the process. */
export function meet(endpoint: FiEndpoint, contact: string): void {
  addon().shmKnows(endpoint.handle, contact);
}

/**
 * Closes an endpoint, unless an open one is related to it: then it is closed with that one. Nobody reads its queue in the
 * meantime, and its memory stays.
 */
export async function moveOut(endpoint: FiEndpoint, close: () => Promise<void>): Promise<void> {
  resting.set(endpoint, close);
  // Before the others are asked about, which it may have kept.
  addon().shmRests(endpoint.handle);
  await closeRested();
}

/** Nobody waits for the close that comes of it: a failure is told, and no unhandled rejection. */
function lookAgain(): void {
  closeRested().catch((error: unknown) => {
    process.emitWarning(`closing an endpoint failed: ${String(error)}`, {
      type: 'FabricWarning',
      code: 'FABRIC_CLOSE',
    });
  });
}

async function closeRested(): Promise<void> {
  const free = [...resting].filter(([endpoint]) => !addon().shmRests(endpoint.handle));
  for (const [endpoint] of free) resting.delete(endpoint);
  clearTimeout(timer);
  timer = resting.size === 0 ? undefined : setTimeout(lookAgain, LOOK_AGAIN_MS).unref();
  for (const [, close] of free) await close();
}
