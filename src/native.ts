// The only file that loads the addon. Its functions take and answer small integers where they are called often; what a
// negative status means is decided in fi/errors.ts.
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { built } from './package-root.js';

/** What the addon found when it looked for libfabric. */
export interface LoadResult {
  available: boolean;
  path: string;
  version: number;
  apiVersion: number;
  reason: string;
  otherCopies: string[];
  forkNeedsSupport: boolean;
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
  providerError: number;
  text: string;
  /** Of the endpoint that it is about; -1 for none. */
  handle: number;
  data: Uint8Array;
  info?: RawInfo;
}

/** A variable of the environment as fi_getparams(3) tells of it. */
export interface RawParameter {
  name?: string;
  type: number;
  help?: string;
  value?: string;
}

/** A line of libfabric's log. */
export interface RawLogLine {
  provider: string;
  level: number;
  subsystem: number;
  function: string;
  line: number;
  message: string;
}

type Status = number;
type Handle = number;

/** The addon's functions. Handles and results are not negative; a negative number is a status. */
export interface Addon {
  load(useLoop: boolean): LoadResult;
  errorText(errno: number): string;
  environmentVariable(name: string): string | undefined;
  efaReadsRemoteMemory(): boolean | undefined;
  parameters(): Promise<RawParameter[] | Status>;
  importLog(level: number, onLines: () => void): Status;
  takeLog(): { lines: RawLogLine[]; dropped: number };
  stopLog(): void;
  textOf(type: number, value: object | bigint): string | Status;
  close(handle: Handle): Promise<Status>;
  forget(handle: Handle): void;
  abandon(handle: Handle): void;
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
  openEventQueue(fabric: Handle, size: number, waitObject: number): Promise<Handle>;
  eventQueueFd(queue: Handle): number;
  writeEvent(queue: Handle, event: number, data: Uint8Array): number;
  waitEvent(queue: Handle, timeoutMs: number): Promise<RawEvent | Status>;
  readEvent(queue: Handle): RawEvent | Status;
  openCounter(domain: Handle, waitObject: number, sleeps: number): Promise<Handle>;
  readCounter(counter: Handle): [bigint, bigint] | Status;
  changeCounter(counter: Handle, what: number, value: bigint): Status;
  waitCounter(counter: Handle, threshold: bigint, timeoutMs: number): Promise<Status>;
  queueWork(
    domain: Handle,
    work: {
      type: number;
      threshold: bigint;
      trigger: Handle;
      completion: Handle;
      subject: Handle;
      peer: number;
      operands: number;
      compares: number;
      results: number;
      remotes: number;
      datatype: number;
      operation: number;
      flags: bigint;
      value: bigint;
      tag: bigint;
      ignore: bigint;
    },
  ): Handle;
  retireWork(work: Handle): Status;
  flushWork(domain: Handle, counter: Handle): Status;
  joinMulticast(
    endpoint: Handle,
    address: Uint8Array,
    flags: bigint,
  ): { handle: Handle; opening: Promise<Handle> } | Status;
  openProfile(of: Handle, flags: bigint): Promise<Handle>;
  profileList(
    profile: Handle,
    events: boolean,
  ): [number, boolean, number, bigint, number, string, string][] | Status;
  readProfile(profile: Handle, variable: number): bigint | Status;
  changeProfile(profile: Handle, what: number, flags: bigint): Status;
  openAddressVector(domain: Handle, count: number, type: number, contextBits: number): Promise<Handle>;
  insertAddresses(av: Handle, bytes: Uint8Array, stride: number): Promise<number[] | Status>;
  insertAddress(av: Handle, bytes: Uint8Array): number;
  removeAddress(av: Handle, address: number): Status;
  lookupAddress(av: Handle, address: number): Uint8Array | Status;
  addressText(av: Handle, bytes: Uint8Array): string | Status;
  insertAuthKey(av: Handle, key: Uint8Array): number;
  lookupAuthKey(av: Handle, address: number): Uint8Array | Status;
  setUserId(av: Handle, address: number, id: bigint, flags: bigint): Status;
  fabricAddress(av: Handle, address: number): bigint | Status;
  receiveContextAddress(av: Handle, address: number, index: number): number;

  openCompletionQueue(
    domain: Handle,
    capacity: number,
    format: number,
    waitObject: number,
    waitSet: Handle,
  ): Promise<Handle>;
  waitForCompletion(queue: Handle, timeoutMs: number): Promise<Status>;
  signalCompletionQueue(queue: Handle): Status;
  openWaitSet(fabric: Handle, waitObject: number): Promise<Handle>;
  waitSetFd(set: Handle): number;
  waitOnSet(set: Handle, timeoutMs: number): Promise<Status>;
  tryWait(fabric: Handle, objects: Handle[]): Status;
  openPollSet(domain: Handle): Promise<Handle>;
  changePollSet(set: Handle, object: Handle, adds: boolean): Status;
  poll(set: Handle): Handle[] | Status;
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
  deviceMemory(address: bigint, bytes: number): Handle;
  memoryCapacity(memory: Handle): number;
  trimMemory(memory: Handle): void;
  memoryBuffer(memory: Handle): ArrayBuffer | undefined;
  freeMemory(memory: Handle): Status;
  liveBlocks(): number;
  registers(): ArrayBuffer;
  registerMemory(
    domain: Handle,
    call: number,
    parts: Float64Array,
    access: bigint,
    key: bigint,
    flags: bigint,
    attributes?: object,
  ): Promise<Handle>;
  enableMemoryRegion(region: Handle): Status;
  refreshMemoryRegion(region: Handle, parts: Float64Array, flags: bigint): Status;
  rawKey(region: Handle, flags: bigint): { key: Uint8Array; address: bigint } | Status;
  mapRawKey(domain: Handle, address: bigint, key: Uint8Array, flags: bigint): bigint | Status;
  unmapKey(domain: Handle, key: bigint): Status;
  bindMemoryRegion(region: Handle, other: Handle, flags: bigint): Status;
  memoryRegion(region: Handle): { key: bigint; address: bigint; descriptor: bigint } | undefined;

  openEndpoint(domain: Handle, info: object): Promise<Handle>;
  openSharedReceive(domain: Handle, info: object, queue: Handle): Promise<Handle>;
  openSharedTransmit(domain: Handle, info: object): Promise<Handle>;
  openScalable(domain: Handle, info: object): Promise<Handle>;
  openContext(scalable: Handle, index: number, receives: boolean): Promise<Handle>;
  openAlias(endpoint: Handle, flags: bigint): Promise<Handle>;
  bindEndpoint(endpoint: Handle, other: Handle, flags: bigint): Status;
  enableEndpoint(endpoint: Handle): Promise<Status>;
  endpointName(endpoint: Handle): Uint8Array | Status;
  atomicLimit(endpoint: Handle, kind: number, datatype: number, operation: number): number;
  connect(endpoint: Handle, address: Uint8Array, data: Uint8Array): Promise<Status>;
  accept(endpoint: Handle, data: Uint8Array): Promise<Status>;
  shutDownEndpoint(endpoint: Handle): Promise<Status>;
  endpointPeer(endpoint: Handle): Uint8Array | Status;
  openPassiveEndpoint(fabric: Handle, info: object): Promise<Handle>;
  bindPassiveEndpoint(endpoint: Handle, eventQueue: Handle): Status;
  listen(endpoint: Handle): Promise<Status>;
  passiveEndpointName(endpoint: Handle): Uint8Array | Status;
  reject(endpoint: Handle, info: object, data: Uint8Array): Promise<Status>;
  getOption(endpoint: Handle, level: number, name: number, length: number): Uint8Array | Status;
  setOption(endpoint: Handle, level: number, name: number, value: Uint8Array): Status;
  controlValue(endpoint: Handle, command: number, value: bigint): bigint | Status;
  sizeLeft(endpoint: Handle, receive: boolean): number;
  setName(endpoint: Handle, address: Uint8Array): Status;
  queryAtomic(domain: Handle, datatype: number, operation: number, flags: bigint): [number, number] | Status;
  efaQueryMemoryRegion(domain: Handle, region: Handle): number[] | Status;
  efaFeature(fabric: Handle, feature: string): number;
  bindDomain(domain: Handle, eventQueue: Handle, flags: bigint): Status;
  endpointCalls(endpoint: Handle): number;
  closeEndpoint(endpoint: Handle): Promise<Status> | { closing: Promise<Status>; dropped: () => number[] };

  openAvSet(av: Handle, start: number, end: number, stride: number): Promise<Handle>;
  combineAvSets(set: Handle, other: Handle, how: number): Status;
  changeAvSet(set: Handle, address: number, inserts: boolean): Status;
  avSetMembers(set: Handle): number[] | Status;
  joinCollective(
    endpoint: Handle,
    set: Handle,
    group: Handle,
  ): { handle: Handle; opening: Promise<Handle> } | Status;
  queryCollective(domain: Handle, kind: number, datatype: number, operation: number): number;
  insertService(av: Handle, node: string, service: string): Promise<number>;
  insertSymmetric(
    av: Handle,
    node: string,
    nodes: number,
    service: string,
    services: number,
  ): Promise<number[] | Status>;

  // The data plane: arguments and answers are in the registers.
  pollQueue: () => void;
  send: () => void;
  sendBatch: () => void;
  inject: () => void;
  injectBatch: () => void;
  recv: () => void;
  recvBatch: () => void;
  recvThenPoll: () => void;
  cancel: () => void;
  retire: () => void;
  messageVector: () => void;
  sendTagged: () => void;
  injectTagged: () => void;
  recvTagged: () => void;
  read: () => void;
  write: () => void;
  injectWrite: () => void;
  rmaVector: () => void;
  atomic: () => void;
  collective: () => void;
  atomicVector: () => void;

  closeOnExec(): number;
  shmPrepare(name: string): number;
  shmClaim(endpoint: Handle, name: string, lock: number): Status;
  shmAbandon(name: string, lock: number): void;
  shmEnter(endpoint: Handle, contact: string): void;
  shmKnows(endpoint: Handle, contact: string): void;
  shmRests(endpoint: Handle): boolean;
}

/** The addon, or why there is none. */
export type AddonResult = { addon: Addon; load: LoadResult } | { addon: undefined; problem: string };

let result: AddonResult | undefined;

function locate(): string {
  // For developers: another build of the addon, such as one with sanitizers.
  const other = process.env.LIBFABRIC_ADDON;
  if (other !== undefined && other !== '') return other;
  return built('libfabric.node');
}

/** Whether this is Node itself: Bun and Deno name Node's version too, but offer no libuv loop. */
function isNode(): boolean {
  const versions = process.versions as Record<string, string | undefined>;
  return versions.bun === undefined && versions.deno === undefined;
}

function load(): AddonResult {
  let path = 'of libfabric';
  let addon: Addon;
  try {
    path = locate();
    if (!existsSync(path)) return { addon: undefined, problem: `the addon ${path} has not been built` };
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
