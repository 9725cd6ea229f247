// The only file that loads the addon. Its functions take and answer small integers where they are called often; what a
// negative status means is decided in fi/errors.ts.
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** What the addon found when it looked for libfabric. */
export interface LoadResult {
  available: boolean;
  path: string;
  version: number;
  apiVersion: number;
  reason: string;
  otherCopies: string[];
}

/** An fi_info as the addon passes it: numbers and bigints, names are given in fi/info.ts. */
export interface RawInfo {
  /** The fi_info itself. */
  native: object;
  /** (fi_info.caps) */
  caps: bigint;
  /** (fi_info.mode) */
  mode: bigint;
  /** (fi_info.addr_format) */
  addressFormat: number;
  /** (fi_info.src_addr) */
  sourceAddress?: Uint8Array;
  /** (fi_info.dest_addr) */
  destinationAddress?: Uint8Array;
  /** (fi_tx_attr) */
  transmit: Record<string, number | bigint>;
  /** (fi_rx_attr) */
  receive: Record<string, number | bigint>;
  /** (fi_ep_attr) */
  endpoint: Record<string, number | bigint>;
  /** (fi_domain_attr) */
  domain: Record<string, number | bigint | string | undefined>;
  /** (fi_fabric_attr) */
  fabric: {
    /** (name) */
    name?: string;
    /** (prov_name) */
    provider?: string;
    /** (prov_version) */
    providerVersion: number;
    /** (api_version) */
    apiVersion: number;
  };
  /** (fi_nic) */
  nic?: Record<string, string | number | undefined>;
}

export interface RawEvent {
  event?: number;
  error: number;
  providerError?: number;
  text?: string;
}

type Status = number;
type Handle = number;

/** The addon's functions. Handles and results are not negative; a negative number is a status. */
export interface Addon {
  load(useLoop: boolean): LoadResult;
  errorText(errno: number): string;
  close(handle: Handle): Promise<Status>;
  forget(handle: Handle): void;
  dependants(handle: Handle): string[];
  setWake(wake: () => void): void;
  keepAlive(references: number): void;
  shutDown(): void;

  getInfo(
    hints: object | undefined,
    node: string,
    service: string,
    flags: bigint,
  ): Promise<RawInfo[] | Status>;
  openFabric(info: object): Promise<Handle>;
  openDomain(fabric: Handle, info: object): Promise<Handle>;
  openEventQueue(fabric: Handle, size: number): Promise<Handle>;
  readEvent(queue: Handle): RawEvent | Status;
  openAddressVector(domain: Handle, count: number): Promise<Handle>;
  insertAddresses(av: Handle, bytes: Uint8Array, addressLength: number): Promise<number[] | Status>;
  insertAddress(av: Handle, bytes: Uint8Array): number;
  removeAddress(av: Handle, address: number): Status;
  lookupAddress(av: Handle, address: number): Uint8Array | Status;
  addressText(av: Handle, bytes: Uint8Array): string | Status;

  openCompletionQueue(domain: Handle, capacity: number, format: number, waitObject: number): Promise<Handle>;
  completionQueueMemory(queue: Handle): ArrayBuffer | undefined;
  completionQueueWait(queue: Handle): { object: number; fd: number } | undefined;
  completionText(queue: Handle, number: number): string;
  startEngine(
    queue: Handle,
    eventQueue: Handle,
    mode: number,
    sleepBy: number,
    spinMicroseconds: number,
    maxSleepMicroseconds: number,
  ): Status;
  stopEngine(queue: Handle): Status;
  engineCounters(queue: Handle): { threadReads: number; spinsMissed: number } | undefined;

  allocateMemory(bytes: number, overflow: number): Handle;
  memoryCapacity(memory: Handle): number;
  trimMemory(memory: Handle): void;
  memoryBuffer(memory: Handle): ArrayBuffer | undefined;
  freeMemory(memory: Handle): Status;
  liveBlocks(): number;
  registers(): ArrayBuffer;
  registerMemory(domain: Handle, memory: Handle, access: bigint, key: bigint): Promise<Handle>;
  memoryRegion(region: Handle): { key: bigint; address: bigint } | undefined;

  openEndpoint(domain: Handle, info: object): Promise<Handle>;
  bindEndpoint(endpoint: Handle, other: Handle, flags: bigint): Status;
  enableEndpoint(endpoint: Handle): Promise<Status>;
  endpointName(endpoint: Handle): Uint8Array | Status;
  endpointCalls(endpoint: Handle): number;
  closeEndpoint(endpoint: Handle): Promise<Status> | { closing: Promise<Status>; dropped: () => number[] };

  // The data plane: arguments and answers are in the registers.
  pollQueue: () => void;
  send: () => void;
  sendBatch: () => void;
  inject: () => void;
  recv: () => void;
  recvThenPoll: () => void;
  cancel: () => void;
  sendTagged: () => void;
  injectTagged: () => void;
  recvTagged: () => void;

  shmPrepare(name: string): number;
  shmClaim(endpoint: Handle, name: string, lock: number): Status;
  shmAbandon(name: string, lock: number): void;
}

/** The addon, or why there is none. */
export type AddonResult = { addon: Addon; load: LoadResult } | { addon: undefined; problem: string };

let result: AddonResult | undefined;

function locate(): string {
  // For developers: another build of the addon, such as one with sanitizers.
  const other = process.env.LIBFABRIC_ADDON;
  if (other !== undefined && other !== '') return other;
  // dist/native.js and src/native.ts are both one level below the package.
  return fileURLToPath(new URL('../build/Release/libfabric.node', import.meta.url));
}

/** Whether this is Node itself: Bun and Deno name Node's version too, but offer no libuv loop. */
function isNode(): boolean {
  const versions = process.versions as Record<string, string | undefined>;
  return versions.bun === undefined && versions.deno === undefined;
}

function load(): AddonResult {
  const path = locate();
  if (!existsSync(path)) return { addon: undefined, problem: `the addon ${path} has not been built` };
  let addon: Addon;
  try {
    addon = createRequire(import.meta.url)(path) as Addon;
  } catch (error) {
    return { addon: undefined, problem: `the addon ${path} cannot be loaded: ${String(error)}` };
  }
  // process.exit() and an uncaught exception of the main thread run no cleanup hook, but this.
  process.on('exit', () => {
    addon.shutDown();
  });
  return { addon, load: addon.load(isNode()) };
}

/** Loads the addon, and libfabric with it, at the first call. Never throws. */
export function loadAddon(): AddonResult {
  result ??= load();
  return result;
}
