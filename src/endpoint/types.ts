// Names and shapes of the everyday layer. Programs outside rely on them: add, do not rename or narrow.
import type { ProgressMode } from '../fi/index.js';
import type { Lease } from './slab.js';
import type { Peer } from './peer.js';

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
  /** How long a send may wait for room before it rejects with a TimeoutError; default 30000 ms. */
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
  /** Remote CQ data: a number that arrives with the message, of up to limits.immediateSize bytes. */
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
  /** Bytes of `immediate`; 0 where the provider has none. */
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
  /** Bytes copied from and to the program's own buffers. */
  readonly bytesCopied: number;
  /** Sends that wait for room. */
  readonly sendsWaiting: number;
  /** Sends that the provider took and has not completed. */
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
  /** `fi_tsend(3)`: as send(), with a tag of up to 64 bits. */
  sendTagged(
    peer: Peer,
    tag: number | bigint,
    data: Uint8Array | Lease,
    options?: SendOptions,
  ): Promise<void>;
  /** `fi_trecv(3)`: as recv(), for the next message whose tag matches. */
  recvTagged(
    tag: number | bigint,
    into: Uint8Array | Lease | number,
    options?: TaggedReceiveOptions,
  ): Promise<Received>;
}

/** Memory of another process that this one may read or write, where the endpoint has 'rma'. */
export interface RemoteMemoryDescriptor {
  /** What the other side names the memory by (fi_mr_key). */
  readonly key: bigint;
  /** Where it starts: a virtual address, or 0, as the provider wants it. */
  readonly address: bigint;
  /** Its bytes. */
  readonly length: number;
}

/** Methods that 'rma' adds. Not there yet: open() refuses the feature with ERR_FABRIC_UNSUPPORTED. */
export interface RmaOperations {
  /** `fi_read(3)` */
  read(peer: Peer, into: Lease, remote: RemoteMemoryDescriptor, options?: Deadline): Promise<void>;
  /** `fi_write(3)` */
  write(
    peer: Peer,
    data: Uint8Array | Lease,
    remote: RemoteMemoryDescriptor,
    options?: SendOptions,
  ): Promise<void>;
}

/** What atomics work on. */
export type AtomicArray =
  Int32Array | Uint32Array | BigInt64Array | BigUint64Array | Float32Array | Float64Array;

/** Methods that 'atomic' adds. Not there yet: open() refuses the feature with ERR_FABRIC_UNSUPPORTED. */
export interface AtomicOperations {
  /** `fi_atomic(3)` */
  atomic(peer: Peer, operation: string, operand: AtomicArray, remote: RemoteMemoryDescriptor): Promise<void>;
  /** `fi_fetch_atomic(3)` */
  fetchAtomic<A extends AtomicArray>(
    peer: Peer,
    operation: string,
    operand: A,
    remote: RemoteMemoryDescriptor,
  ): Promise<A>;
  /** `fi_compare_atomic(3)` */
  compareAtomic<A extends AtomicArray>(
    peer: Peer,
    operation: string,
    operand: A,
    compare: A,
    remote: RemoteMemoryDescriptor,
  ): Promise<A>;
}

/** What the features add: what was not asked for does not compile. */
export type Operations<F extends readonly Feature[]> = ('tagged' extends F[number]
  ? TaggedOperations
  : unknown) &
  ('rma' extends F[number] ? RmaOperations : unknown) &
  ('atomic' extends F[number] ? AtomicOperations : unknown);
