/**
 * `libfabric`: messages over EFA, InfiniBand, shared memory and TCP, with promises and iterators.
 *
 * @packageDocumentation
 */
export { open } from './endpoint/open.js';
export { explain } from './endpoint/selection.js';
export { isAvailable, type Availability } from './fi/library.js';
export { Endpoint, type EndpointEvents } from './endpoint/endpoint.js';
export type { EndpointMemory } from './endpoint/memory.js';
export { Peer } from './endpoint/peer.js';
export { Lease } from './endpoint/slab.js';
export { introduce, introduction, type Introduction } from './endpoint/introduction.js';
export { RemoteMemory, type RemoteAccess, type RemoteMemoryJson } from './fi/remote-memory.js';
export { CompletionError, FabricError, type CompletionFailure, type FabricErrorCode } from './fi/errors.js';
export type {
  AtomicArray,
  AtomicOperation,
  AtomicOperations,
  CandidateExplanation,
  CompareOperation,
  Deadline,
  EndpointStats,
  Explanation,
  Feature,
  FetchOperation,
  InterfaceExplanation,
  Limits,
  Message,
  MessagesOptions,
  OpenOptions,
  Operations,
  ReceiveOptions,
  Received,
  RemoteMemoryDescriptor,
  RmaOperations,
  SendOptions,
  TaggedOperations,
  TaggedReceiveOptions,
  WriteOptions,
} from './endpoint/types.js';
export type { Unreleased } from './endpoint/deadline.js';
export type { Access, AccessWord, Memory, MemoryRegion, ProgressMode } from './fi/index.js';
