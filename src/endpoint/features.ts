// What 'tagged', 'rma' and 'atomic' add to an endpoint. An endpoint's class is made of those that were asked for: the
// methods of the others are not there.
import { checkUint64 } from '../fi/errors.js';
import { Endpoint } from './endpoint.js';
import { Kind } from './operation.js';
import type { Peer } from './peer.js';
import type { Lease } from './slab.js';
import type {
  AtomicArray,
  AtomicOperation,
  AtomicOperations,
  CompareOperation,
  Deadline,
  Feature,
  FetchOperation,
  Received,
  RemoteMemoryDescriptor,
  RmaOperations,
  SendOptions,
  TaggedOperations,
  TaggedReceiveOptions,
  WriteOptions,
} from './types.js';

// These have methods only, which are copied from one to another: no fields of their own.

class TaggedEndpoint extends Endpoint implements TaggedOperations {
  sendTagged(
    peer: Peer,
    tag: number | bigint,
    data: Uint8Array | Lease,
    options?: SendOptions,
  ): Promise<void> {
    try {
      return this.sender.send(Kind.SendTagged, peer, checkUint64('tag', tag), data, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  recvTagged(
    tag: number | bigint,
    into: Uint8Array | Lease | number,
    options?: TaggedReceiveOptions,
  ): Promise<Received> {
    try {
      const bits = checkUint64('tag', tag);
      const ignore = checkUint64('options.ignore', options?.ignore ?? 0n);
      return this.receiver.recv(Kind.ReceiveTagged, into, bits, ignore, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }
}

class RmaEndpoint extends Endpoint implements RmaOperations {
  read(
    peer: Peer,
    into: Uint8Array | Lease | number,
    remote: RemoteMemoryDescriptor,
    options?: Deadline,
  ): Promise<Uint8Array> {
    return this.oneSided.read(peer, into, remote, options);
  }

  write(
    peer: Peer,
    data: Uint8Array | Lease,
    remote: RemoteMemoryDescriptor,
    options?: WriteOptions,
  ): Promise<void> {
    return this.oneSided.write(peer, data, remote, options);
  }
}

class AtomicEndpoint extends Endpoint implements AtomicOperations {
  async atomic(
    peer: Peer,
    operation: AtomicOperation,
    operand: AtomicArray,
    remote: RemoteMemoryDescriptor,
    options?: Deadline,
  ): Promise<void> {
    await this.atomics.run('atomic', { peer, operation, operand, remote, options });
  }

  fetchAtomic<A extends AtomicArray>(
    peer: Peer,
    operation: FetchOperation,
    operand: A,
    remote: RemoteMemoryDescriptor,
    options?: Deadline,
  ): Promise<A> {
    return this.atomics.run('fetch', { peer, operation, operand, remote, options });
  }

  compareAtomic<A extends AtomicArray>(
    peer: Peer,
    operation: CompareOperation,
    operand: A,
    compare: A,
    remote: RemoteMemoryDescriptor,
    options?: Deadline,
  ): Promise<A> {
    return this.atomics.run('compare', { peer, operation, operand, compare, remote, options });
  }
}

const parts: Readonly<Record<Feature, typeof Endpoint>> = {
  tagged: TaggedEndpoint,
  rma: RmaEndpoint,
  atomic: AtomicEndpoint,
};

const made = new Map<string, typeof Endpoint>();

/** The class of endpoints with these features. */
export function endpointClass(features: readonly Feature[]): typeof Endpoint {
  if (features.length === 0) return Endpoint;
  const wanted = [...new Set(features)].sort();
  const name = wanted.join();
  const known = made.get(name);
  if (known !== undefined) return known;
  const combined = class extends Endpoint {};
  for (const feature of wanted) {
    const { constructor: _, ...methods } = Object.getOwnPropertyDescriptors(parts[feature].prototype);
    Object.defineProperties(combined.prototype, methods);
  }
  // What console.log() shows.
  Object.defineProperty(combined, 'name', { value: 'Endpoint' });
  made.set(name, combined);
  return combined;
}
