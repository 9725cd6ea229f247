/**
 * `libfabric/fi`: libfabric's own objects, one to one. One method per C call; what may block returns a promise.
 *
 * @packageDocumentation
 */
export * from './constants.js';
export { errnoName } from './errno.js';
export { CompletionError, FabricError, type CompletionFailure, type FabricErrorCode } from './errors.js';
export { explainProviderError, type ProviderErrorMeaning } from './provider-errors.js';
export { isAvailable, libraryVersion, type Availability, type LibraryVersion } from './library.js';
export { enumName, flagBits, flagNames, type EnumKind, type FlagKind, type Flags } from './names.js';
export {
  getInfo,
  type ContextCount,
  type GetInfoTarget,
  type Hints,
  type Info,
  type Nic,
  type RawInfo,
} from './info.js';
export { hmemZeDevice, tagMpi, tcDscpGet, tcDscpSet } from './arithmetic.js';
export { FabricObject } from './object.js';
export { LogImport, type LogImportOptions, type LogLevel, type LogLine } from './log.js';
export { getParams, toStr, type Parameter, type TextType } from './about.js';
export { Fabric } from './fabric.js';
export { Domain, type AtomicAttributes } from './domain.js';
export { AddressVector, type AddressVectorOptions } from './address-vector.js';
export { EventQueue, type FabricEvent } from './event-queue.js';
export { Completions } from './completion.js';
export { CompletionQueue, type CompletionQueueOptions } from './completion-queue.js';
export type { EndpointOptions, OptionEndpoint } from './option-endpoint.js';
export { AddressVectorSet, CollectiveGroup, type AddressVectorSetOptions } from './av-set.js';
export type { CollectiveData, CollectiveEndpoint, CollectiveName } from './collective-endpoint.js';
export type { ConnectionEndpoint } from './connection-endpoint.js';
export { PassiveEndpoint } from './passive-endpoint.js';
export { Counter } from './counter.js';
export {
  DeferredWork,
  type DeferredAtomic,
  type DeferredChange,
  type DeferredData,
  type DeferredOperation,
  type DeferredReceive,
  type DeferredSend,
  type DeferredTransfer,
  type DeferredWorkOptions,
} from './deferred-work.js';
export { MulticastGroup } from './multicast.js';
export { Profile, type ProfileEntry } from './profile.js';
export { PollSet, tryWait } from './poll-set.js';
export { WaitSet } from './wait-set.js';
export type { DataEndpoint } from './data-endpoint.js';
export { type Bindable, Endpoint } from './endpoint.js';
export {
  ReceiveContext,
  type ScalableContext,
  ScalableEndpoint,
  TransmitContext,
} from './scalable-endpoint.js';
export { SharedReceiveContext, SharedTransmitContext } from './shared-context.js';
export {
  type AtomicEndpoint,
  type AtomicKind,
  type AtomicName,
  type Datatype,
  datatypeBytes,
} from './atomic-endpoint.js';
export {
  type AtomicArray,
  type AtomicVectorEndpoint,
  type ElementLists,
  type Elements,
  datatypeOf,
} from './atomic-vector-endpoint.js';
export type { RmaEndpoint } from './rma-endpoint.js';
export type { MessageEndpoint } from './message-endpoint.js';
export type { Part } from './parts.js';
export type { AtomicMessageOptions, MessageOptions, SendFlags, Trigger } from './post.js';
export { type DeviceMemory, Memory } from './memory.js';
export {
  MemoryRegion,
  type Access,
  type AccessWord,
  type AttributeOptions,
  type RawKey,
  type RegisterOptions,
  accessBits,
} from './memory-region.js';
export { RemoteMemory, type RemoteAccess, type RemoteMemoryJson } from './remote-memory.js';
export { efaFeature, efaQueryMr, type EfaMemoryRegion } from './efa.js';
export { Engine, type EngineOptions, type ProgressMode } from './engine.js';
export { SharedMemoryName } from './shm.js';
