// Checks of what several calls take: the peer, the bytes, how it is to complete.
import {
  checkBytes,
  checkInteger,
  checkUint64,
  closedError,
  rangeError,
  typeError,
  unsupportedError,
} from '../fi/errors.js';
import type { SendFlags } from '../fi/index.js';
import { Peer, type PeerOwner } from './peer.js';
import type { Provider } from './providers.js';
import { Lease, type SlabAllocator } from './slab.js';
import type { Limits, SendOptions } from './types.js';

/** A Peer of this endpoint that is open. */
export function checkPeer(peer: unknown, owner: PeerOwner): asserts peer is Peer {
  if (peer instanceof Peer && peer.owner === owner && !peer.closed) return;
  if (!(peer instanceof Peer))
    throw typeError('peer', peer, 'a Peer', 'Make one with endpoint.peer(contact)');
  if (peer.owner !== owner)
    throw typeError('peer', peer, 'a Peer of this endpoint', 'Make one with this endpoint.peer(contact)');
  if (peer.closed) throw closedError(`the peer ${peer.contact}`);
}

function checkLease(argument: string, lease: Lease, memory: SlabAllocator): number {
  if (!lease.isOf(memory))
    throw lease.disposed ? closedError('the Lease') : typeError(argument, lease, 'a Lease of this endpoint');
  return lease.length;
}

/** No more than the provider moves at once. */
function checkLength(argument: string, length: number, { maxMessageSize }: Limits): number {
  if (length > maxMessageSize)
    throw rangeError(
      `${argument}.length`,
      length,
      `at most ${String(maxMessageSize)} bytes, what the provider takes`,
    );
  return length;
}

/** What is to leave; its length in bytes. */
export function checkData(data: unknown, memory: SlabAllocator, limits: Limits): number {
  const length = data instanceof Lease ? checkLease('data', data, memory) : checkBytes('data', data).length;
  return checkLength('data', length, limits);
}

/** What a read is to fill, all of it; its length in bytes. */
export function checkReadInto(into: unknown, memory: SlabAllocator, limits: Limits): number {
  return checkLength('into', checkInto(into, memory, limits), limits);
}

/** Where a message is to go, which may be shorter; its length in bytes. */
export function checkInto(into: unknown, memory: SlabAllocator, limits: Limits): number {
  if (into instanceof Uint8Array) return checkBytes('into', into).length;
  if (into instanceof Lease) return checkLease('into', into, memory);
  if (typeof into !== 'number') throw typeError('into', into, 'a Uint8Array, a Lease, or a number of bytes');
  return checkInteger('into', into, 0, limits.maxMessageSize);
}

/** Remote CQ data that the provider can carry. */
export function checkImmediate(immediate: bigint | undefined, limits: Limits): void {
  if (immediate === undefined) return;
  const { immediateSize } = limits;
  // What is no such number anywhere is told first, so that a program reads the same words on every provider.
  const bytes = immediateSize === 0 ? 8 : Math.min(immediateSize, 8);
  checkUint64('options.immediate', immediate, (1n << BigInt(8 * bytes)) - 1n);
  if (immediateSize === 0) throw unsupportedError('this provider has no immediate data, or loses it');
}

/** What libfabric must be told of how it is to complete; undefined where nothing, 'buffer' being what it does anyway. */
export function checkCompletion(
  completion: SendOptions['completion'],
  provider: Provider,
  delivers: boolean,
): SendFlags['completion'] {
  switch (completion) {
    case undefined:
    case 'buffer':
      return undefined;
    case 'transmit':
      if (!provider.transmit)
        throw unsupportedError(`${provider.name} cannot tell when a message was transmitted`);
      return completion;
    case 'delivery':
      if (!delivers) throw unsupportedError(`${provider.name} cannot tell when a message has arrived`);
      return completion;
    default:
      throw rangeError('options.completion', completion, "'buffer', 'transmit' or 'delivery'");
  }
}
