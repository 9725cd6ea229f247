// What the calls that touch memory of another process share.
import {
  STATUS_AGAIN,
  STATUS_CLOSED,
  closedError,
  isLacking,
  rangeError,
  statusError,
  typeError,
  unsupportedError,
} from './errors.js';
import { Memory } from './memory.js';
import { registers } from './registers.js';
import { RemoteMemory } from './remote-memory.js';

/** Puts what names the other side's memory into the registers, once `length` bytes are known to be inside it. */
export function aim(remote: RemoteMemory, length: number): void {
  if (!(remote instanceof RemoteMemory)) throw typeError('remote', remote, 'a RemoteMemory');
  if (length > remote.length)
    throw rangeError('length', length, `at most ${String(remote.length)}, the bytes of the RemoteMemory`);
  const { wide } = registers();
  wide[3] = remote.address;
  wide[4] = remote.key;
}

/** The answer of a data call: whether the provider took it. `capability` is what the endpoint must be opened with. */
export function answerOf(status: number, call: string, memory: Memory, capability: string): boolean {
  if (status === 0) return true;
  if (status === STATUS_AGAIN) return false;
  if (!(memory instanceof Memory)) throw typeError('memory', memory, 'a Memory');
  return refusalOf(status, call, capability);
}

/** As answerOf(), where all that was given has been looked at. */
export function refusalOf(status: number, call: string, capability: string): boolean {
  if (status === 0) return true;
  if (status === STATUS_AGAIN) return false;
  if (status === STATUS_CLOSED)
    throw closedError('the Endpoint or the Memory, or the Endpoint is not enabled: it');
  if (isLacking(status))
    throw unsupportedError(
      `the provider has no such ${call}, or the Endpoint was opened without ${capability}`,
      call,
    );
  throw statusError(status, call);
}
