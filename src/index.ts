/**
 * `libfabric`: messages over EFA, InfiniBand, shared memory and TCP, with promises and iterators.
 *
 * @packageDocumentation
 */
export { open } from './endpoint/open.js';
export { explain } from './endpoint/selection.js';
export { isAvailable, type Availability } from './fi/library.js';
export { Endpoint, type EndpointEvents, type EndpointMemory } from './endpoint/endpoint.js';
export { Peer } from './endpoint/peer.js';
export { Lease } from './endpoint/slab.js';
export { introduce, introduction, type Introduction } from './endpoint/introduction.js';
export { RemoteMemory, type RemoteMemoryJson } from './endpoint/remote-memory.js';
export { CompletionError, FabricError, type CompletionFailure, type FabricErrorCode } from './fi/errors.js';
export type {
  AtomicArray,
  AtomicOperations,
  CandidateExplanation,
  Deadline,
  EndpointStats,
  Explanation,
  Feature,
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
} from './endpoint/types.js';
export type { Unreleased } from './endpoint/deadline.js';
export type { MemoryRegion, ProgressMode } from './fi/index.js';
