/**
 * `libfabric/fi`: libfabric's own objects, one to one. One method per C call; what may block returns a promise.
 *
 * @packageDocumentation
 */
export * from './constants.js';
export { errnoName } from './errno.js';
export { CompletionError, FabricError, type CompletionFailure, type FabricErrorCode } from './errors.js';
export { isAvailable, libraryVersion, type Availability, type LibraryVersion } from './library.js';
export { enumName, flagBits, flagNames, type EnumKind, type FlagKind, type Flags } from './names.js';
export { getInfo, type GetInfoTarget, type Hints, type Info, type Nic, type RawInfo } from './info.js';
export { FabricObject } from './object.js';
export { Fabric } from './fabric.js';
export { Domain } from './domain.js';
export { AddressVector } from './address-vector.js';
export { EventQueue, type FabricEvent } from './event-queue.js';
export { Completions } from './completion.js';
export { CompletionQueue, type CompletionQueueOptions } from './completion-queue.js';
export { Endpoint, type SendFlags } from './endpoint.js';
export { Memory } from './memory.js';
export { MemoryRegion, type Access } from './memory-region.js';
export { Engine, type EngineOptions, type ProgressMode } from './engine.js';
export { SharedMemoryName } from './shm.js';
