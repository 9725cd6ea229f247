// Names and shapes of the everyday layer. Programs outside rely on them: add, do not rename or narrow.
import type { AtomicArray, ProgressMode } from '../fi/index.js';
import type { Lease } from './slab.js';
import type { Peer } from './peer.js';

export type { AtomicArray };

/** What an endpoint can be asked to have besides messages. Each adds its methods to the type of the endpoint. */
export type Feature = 'tagged' | 'rma' | 'atomic';

/** Options of open(). */
export interface OpenOptions<F extends readonly Feature[] = readonly Feature[]> {
  /**
   * Providers in the order of preference. Default: the environment variable LIBFABRIC_PROVIDER (a comma-separated
   * list), else efa, verbs, tcp, sockets. 'tcp' means the best TCP there is for the features asked for: tcp in
   * libfabric 1.18 and later, net in 1.17, else tcp;ofi_rxm.
   */
  provider?: string | readonly string[];
  /** Required of the provider; default none. */
  features?: F;
  /** Whether messages between two endpoints match in the order they were sent; default true: open() refuses where they do not. */
  ordered?: boolean;
  /** One NIC by name, as explain() lists them; default the provider's first. */
  domain?: string;
  /**
   * The local address to bind, for providers with IP addresses. Default: the first routable interface. Loopback
   * ('127.0.0.1') only when asked for, link-local never.
   */
  node?: string;
  /** The local port, for providers with IP addresses; default: any. */
  service?: string | number;
  /** Who reads completions; default 'auto'. */
  progress?: ProgressMode;
  /** How long one call may spin for a completion; default 20; 0 never spins. */
  spinMicroseconds?: number;
  /** The longest pause of the engine where no file descriptor can wake it; default 1000. */
  maxSleepMicroseconds?: number;
  /** What messages() keeps posted; default 64 buffers of 65536 bytes. A longer message arrives truncated. */
  receive?: {
    /** How many; at most 512. */
    buffers?: number;
    /** Bytes of each; at most 2^30. */
    size?: number;
  };
  /**
   * How long a send, a read, a write or an atomic may wait for room before it rejects with a TimeoutError; default 30000
   * ms. It bounds nothing that the provider has taken: `timeoutMs` of the call does.
   */
  sendTimeoutMs?: number;
  /** Bound on open() itself; default 30000 ms. */
  timeoutMs?: number;
  /** Gives open() up, with the signal's reason. */
  signal?: AbortSignal;
}

/** Bounds of an operation. */
export interface Deadline {
  /** Rejects the operation with the signal's reason. */
  signal?: AbortSignal;
  /** Rejects the operation with a TimeoutError after so many ms; default: never. */
  timeoutMs?: number;
}

/** Options of a send. */
export interface SendOptions extends Deadline {
  /**
   * Remote CQ data: a number that arrives with the message, of up to limits.immediateSize bytes. Where that is 0 the
   * provider has none, or loses it (sockets; efa before libfabric 1.18): ERR_FABRIC_UNSUPPORTED.
   */
  immediate?: bigint;
  /**
   * When send() resolves: when the buffer may be reused ('buffer', default), when the provider has sent the message
   * ('transmit', FI_TRANSMIT_COMPLETE), or when it has arrived ('delivery', FI_DELIVERY_COMPLETE).
   */
  completion?: 'buffer' | 'transmit' | 'delivery';
}

/** Options of recv(). */
export interface ReceiveOptions extends Deadline {
  /** Only from this peer. Needs a provider with FI_DIRECTED_RECV, else ERR_FABRIC_UNSUPPORTED. */
  from?: Peer;
}

/** Options of recvTagged(). */
export interface TaggedReceiveOptions extends ReceiveOptions {
  /** Bits of the tag that need not match; default 0. */
  ignore?: number | bigint;
}

/** A message that was received. */
export interface Received {
  /** Bytes of the message; more than data.length where it was truncated. */
  length: number;
  /** The bytes that arrived. */
  data: Uint8Array;
  /** The sender, where the provider names it and it is a known peer. */
  from?: Peer;
  /** Of a tagged message. */
  tag?: bigint;
  /** Remote CQ data, where the sender gave some. */
  immediate?: bigint;
  /** There where the message was longer than the buffer. */
  truncated?: true;
}

/** A message of messages() or tryRecv(). Disposing of it gives a borrowed buffer back early; otherwise it does nothing. */
export interface Message extends Received, Disposable {}

/** Options of messages(). */
export interface MessagesOptions {
  /** Yield arrays of up to so many messages instead of single ones. */
  batch?: number;
  /** Lend the receive buffer itself, until the next message is asked for; default false: the message owns its data. */
  borrow?: boolean;
  /** Ends the iteration with the signal's reason. */
  signal?: AbortSignal;
}

/** What the provider allows, in bytes unless said otherwise; clamped to Number.MAX_SAFE_INTEGER. */
export interface Limits {
  /** The longest message. */
  readonly maxMessageSize: number;
  /** Messages up to this size leave in one step. */
  readonly injectSize: number;
  /** Bytes of `immediate`; 0 where the provider has none, or loses it. */
  readonly immediateSize: number;
  /** Operations in flight in each direction. Half of them, less with several peers, may be sends to one peer. */
  readonly maxOperations: number;
  /** Bytes of copied messages in flight; more wait for room. Half, less with several peers, may go to one peer. */
  readonly maxBytesInFlight: number;
}

/** Counters since open(), and what is under way now. */
export interface EndpointStats {
  /** Messages that the provider took. */
  readonly messagesSent: number;
  /** Their bytes. */
  readonly bytesSent: number;
  /** Messages that arrived. */
  readonly messagesReceived: number;
  /** Their bytes, without what was cut off. */
  readonly bytesReceived: number;
  /** write() calls that the provider took. */
  readonly writes: number;
  /** Their bytes. */
  readonly bytesWritten: number;
  /** read() calls that the provider took. */
  readonly reads: number;
  /** Their bytes. */
  readonly bytesRead: number;
  /** Atomics of all three forms that the provider took. */
  readonly atomics: number;
  /** Bytes copied from and to the program's own buffers. */
  readonly bytesCopied: number;
  /** Sends, reads, writes and atomics that wait for room; what is left of a batch is one. */
  readonly sendsWaiting: number;
  /** Those that the provider took and has not completed. */
  readonly sendsInFlight: number;
  /** Receives that wait for a message, those of messages() among them. */
  readonly receivesPosted: number;
  /** Messages that arrived and nobody has taken yet. */
  readonly messagesHeld: number;
  /** How often the provider had no room (-FI_EAGAIN). */
  readonly timesWithoutRoom: number;
  /** Messages that were longer than their buffer. */
  readonly truncated: number;
  /** Operations that failed, and faults that belong to none. */
  readonly errors: number;
  /** Completions read by the engine's thread. */
  readonly threadReads: number;
  /** Spins that found nothing. */
  readonly spinsMissed: number;
  /** Peers that are open. */
  readonly peers: number;
}

/** One interface of the machine, as explain() lists it. */
export interface InterfaceExplanation {
  /** The system's name of the interface. */
  readonly name: string;
  /** The address, as text. */
  readonly address: string;
  /** The kind of address. */
  readonly family: 'IPv4' | 'IPv6';
  /** 'routable' ones are taken by default, the first of them first. */
  readonly kind: 'routable' | 'loopback' | 'link-local';
}

/** What explain() says of one candidate. */
export interface CandidateExplanation {
  /** The name asked for, such as 'tcp'. */
  readonly requested: string;
  /** libfabric's name, such as 'tcp;ofi_rxm'. */
  readonly provider: string;
  /** 'chosen' by open(); 'available' too, but after the chosen one; 'refused'. */
  readonly status: 'chosen' | 'available' | 'refused';
  /** Why it was chosen, or the hint or condition that refused it. */
  readonly reason: string;
  /** NICs (domains) that it offers. */
  readonly domains: readonly string[];
}

/** What open() would choose with the same options, and why. */
export interface Explanation {
  /** The library that is in use. */
  readonly libfabric:
    | {
        /** 'major.minor'. */
        version: string;
        /** Its file. */
        path: string;
      }
    | undefined;
  /** What open() would choose; undefined where it would fail. */
  readonly chosen: CandidateExplanation | undefined;
  /** All that were asked, in order. */
  readonly candidates: readonly CandidateExplanation[];
  /** The addresses of the machine. */
  readonly interfaces: readonly InterfaceExplanation[];
  /** All of it in words, a line each. */
  toString(): string;
}

/** Methods that 'tagged' adds. */
export interface TaggedOperations {
  /**
   * `fi_tsend(3)`: as send(), with a tag of up to 64 bits, which is matched by recvTagged() alone.
   *
   * @param tag - A whole number up to 2^53, or a bigint below 2^64.
   */
  sendTagged(
    peer: Peer,
    tag: number | bigint,
    data: Uint8Array | Lease,
    options?: SendOptions,
  ): Promise<void>;
  /**
   * `fi_trecv(3)`: as recv(), for the next tagged message whose tag equals `tag` in all bits that `ignore` has not set.
   *
   * @param options - `ignore`: default 0: the whole tag must match.
   */
  recvTagged(
    tag: number | bigint,
    into: Uint8Array | Lease | number,
    options?: TaggedReceiveOptions,
  ): Promise<Received>;
}

/** Memory of another process that this one may read or write: a RemoteMemory, or what looks like one. */
export interface RemoteMemoryDescriptor {
  /** What the other side names the memory by (fi_mr_key). */
  readonly key: bigint;
  /** Where it starts: a virtual address, or 0, as the provider wants it. */
  readonly address: bigint;
  /** Its bytes. */
  readonly length: number;
  /** Whether peers may read it; default true. */
  readonly readable?: boolean;
  /** Whether peers may write it; default true. */
  readonly writable?: boolean;
}

/** Options of write(). */
export interface WriteOptions extends Deadline {
  /**
   * When write() resolves: when the bytes are in the other side's memory ('delivery', FI_DELIVERY_COMPLETE, the default
   * where the provider can tell), when the provider has sent them ('transmit'), or when the data may be used again
   * ('buffer').
   */
  completion?: 'buffer' | 'transmit' | 'delivery';
}

/**
 * Methods that 'rma' adds: the other side's program takes no part.
 *
 * No provider tells dependably that a peer is dead: without `signal` or `timeoutMs` a read or a write may wait for ever.
 * Peer.close() settles what is under way.
 */
export interface RmaOperations {
  /**
   * `fi_read(3)`: reads memory of another process, from where `remote` starts: as many bytes as `into` has.
   *
   * @param into - A Uint8Array to copy them to, a Lease to read into in place, or a number of bytes to allocate.
   * @returns The bytes: `into`, its data, or what was allocated.
   * @throws TypeError, RangeError for wrong arguments, before anything is done: `remote` is too short, or not readable.
   * @throws CompletionError where the other side refuses, or is known to be gone.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_rma.3.html
   */
  read(
    peer: Peer,
    into: Uint8Array | Lease | number,
    remote: RemoteMemoryDescriptor,
    options?: Deadline,
  ): Promise<Uint8Array>;
  /**
   * `fi_write(3)`, `fi_writemsg(3)`: writes `data` to memory of another process, to where `remote` starts.
   *
   * A Uint8Array is copied as soon as there is room: leave it alone until the promise resolves. A Lease is written from
   * where it is. Operations that are under way at once have no order: await one before another touches the same bytes.
   *
   * @throws TypeError, RangeError for wrong arguments, before anything is done: `remote` is too short, or not writable.
   * @throws CompletionError where the other side refuses, or is known to be gone.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_rma.3.html
   */
  write(
    peer: Peer,
    data: Uint8Array | Lease,
    remote: RemoteMemoryDescriptor,
    options?: WriteOptions,
  ): Promise<void>;
}

/** What atomic() can do with an element there and one given, after enum fi_op: FI_MIN to FI_BXOR, FI_ATOMIC_WRITE. */
export type AtomicOperation =
  'min' | 'max' | 'sum' | 'prod' | 'lor' | 'land' | 'bor' | 'band' | 'lxor' | 'bxor' | 'write';

/** What fetchAtomic() can: 'read' changes nothing. */
export type FetchOperation = AtomicOperation | 'read';

/** What compareAtomic() can: 'cswap' writes where both are equal, the others where `compare` is ≠, ≤, <, ≥, > there. */
export type CompareOperation = 'cswap' | 'cswapNe' | 'cswapLe' | 'cswapLt' | 'cswapGe' | 'cswapGt' | 'mswap';

/**
 * Methods that 'atomic' adds: on memory of another process, element by element, with nobody else's atomics in between. The
 * memory must start at a multiple of the element's size. Operand and what is compared are copied by the call.
 *
 * No provider tells dependably that a peer is dead: without `signal` or `timeoutMs` an atomic may wait for ever. Peer.close()
 * settles what is under way.
 */
export interface AtomicOperations {
  /**
   * `fi_atomic(3)`: combines each element of `operand` with the one there, which becomes the result.
   *
   * Resolves when the provider has sent it, which may be before it is done there: a fetchAtomic() that follows it tells.
   *
   * @throws TypeError, RangeError for wrong arguments, before anything is done.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has no such operation on such elements.
   * @throws CompletionError where the other side refuses, or is known to be gone.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_atomic.3.html
   */
  atomic(
    peer: Peer,
    operation: AtomicOperation,
    operand: AtomicArray,
    remote: RemoteMemoryDescriptor,
    options?: Deadline,
  ): Promise<void>;
  /**
   * `fi_fetch_atomic(3)`: as atomic(), and brings what was there before. Of a 'read' the operand only says how much.
   *
   * @returns A new array of the operand's kind.
   * @throws as atomic().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_atomic.3.html
   */
  fetchAtomic<A extends AtomicArray>(
    peer: Peer,
    operation: FetchOperation,
    operand: A,
    remote: RemoteMemoryDescriptor,
    options?: Deadline,
  ): Promise<A>;
  /**
   * `fi_compare_atomic(3)`: writes each element of `operand` where the one of `compare` and the one there compare; 'mswap'
   * writes the bits that are set in `compare`. Brings what was there before.
   *
   * @returns A new array of the operand's kind.
   * @throws as atomic().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_atomic.3.html
   */
  compareAtomic<A extends AtomicArray>(
    peer: Peer,
    operation: CompareOperation,
    operand: A,
    compare: A,
    remote: RemoteMemoryDescriptor,
    options?: Deadline,
  ): Promise<A>;
}

/** What the features add: what was not asked for does not compile. */
export type Operations<F extends readonly Feature[]> = ('tagged' extends F[number]
  ? TaggedOperations
  : unknown) &
  ('rma' extends F[number] ? RmaOperations : unknown) &
  ('atomic' extends F[number] ? AtomicOperations : unknown);
