// The everyday endpoint: promises and iterators over libfabric's objects.
import { EventEmitter } from 'node:events';
import { Engine, type Completions, libraryVersion } from '../fi/index.js';
import { Atomics } from './atomics.js';
import { Closing } from './closing.js';
import { type Contact, formatContact } from './contact.js';
import { Core, MAX_BYTES_IN_FLIGHT, type Opened } from './core.js';
import { FaultWarnings } from './fault-warnings.js';
import { type EndpointMemory, Regions } from './memory.js';
import { MessageIterator, checkMessagesOptions } from './messages.js';
import { Kind, type Operation } from './operation.js';
import { OneSided } from './one-sided.js';
import type { Peer } from './peer.js';
import { PeerTable } from './peers.js';
import { immediateSizeOf } from './providers.js';
import { Receiver } from './receiver.js';
import { Sender } from './sender.js';
import type { Lease } from './slab.js';
import type {
  EndpointStats,
  Limits,
  Message,
  MessagesOptions,
  OpenOptions,
  ReceiveOptions,
  Received,
  SendOptions,
} from './types.js';

/** Events of an Endpoint, with what listeners get. */
export interface EndpointEvents {
  /** The endpoint is closed. */
  close: [];
  /** A fault that belongs to no operation. */
  error: [Error];
}

/**
 * An endpoint for reliable messages (FI_EP_RDM). open() makes one.
 *
 * Raw endpoints are not authenticated and not encrypted: anybody who can reach one can send to it.
 *
 * Events: 'close'; 'error' for faults that belong to no operation, which become a process warning where nobody listens.
 */
export class Endpoint extends EventEmitter<EndpointEvents> implements AsyncDisposable {
  /** libfabric's name of the provider. */
  readonly provider: string;
  /** Why this provider was chosen, and what refused those before it. */
  readonly why: string;
  /** libfabric's name of the fabric. */
  readonly fabric: string;
  /** libfabric's name of the domain: of the NIC, for most providers. */
  readonly domain: string;
  /** What to hand to the other side, by any means: printable text. */
  readonly contact: string;
  /** `fi_getname(3)`: the bare address, for peers in other languages. */
  readonly address: Uint8Array;
  /** What the provider allows. */
  readonly limits: Limits;
  /** Memory for messages without a copy, and memory that peers may read and write. */
  readonly memory: EndpointMemory;
  readonly #core: Core;
  /** @internal */
  protected readonly sender: Sender;
  /** @internal */
  protected readonly receiver: Receiver;
  /** @internal */
  protected readonly oneSided: OneSided;
  /** @internal */
  protected readonly atomics: Atomics;
  readonly #peers: PeerTable;
  readonly #warnings = new FaultWarnings();
  readonly #closing: Closing;

  /** @internal open() is the way to get one. */
  constructor(opened: Opened, options: OpenOptions, why: string) {
    super();
    const { provider, info, endpoint } = opened;
    this.provider = info.provider;
    this.why = why;
    this.fabric = info.fabricName;
    this.domain = info.domainName;
    this.address = endpoint.getName();
    const own: Contact = { family: provider.family, format: info.addressFormat, address: this.address };
    this.contact = formatContact(own);
    this.#core = new Core(opened);
    this.limits = Object.freeze({
      maxMessageSize: info.maxMessageSize,
      injectSize: info.injectSize,
      immediateSize: immediateSizeOf(provider, info.immediateSize, libraryVersion().version),
      maxOperations: opened.queue.capacity / 2,
      maxBytesInFlight: MAX_BYTES_IN_FLIGHT,
    });
    const { buffers = 64, size = 65536 } = options.receive ?? {};
    this.#peers = new PeerTable(this.#core, own, (peer, reason) => {
      this.sender.queue.closePeer(peer, reason);
      this.receiver.closePeer(peer, reason);
    });
    this.sender = new Sender(this.#core, this.#peers, this.limits, options.sendTimeoutMs ?? 30_000);
    this.receiver = new Receiver(this.#core, this.#peers, this.limits, {
      buffers,
      size,
      ordered: options.ordered ?? true,
    });
    this.oneSided = new OneSided(this.#core, this.#peers, this.limits, this.sender.queue);
    this.atomics = new Atomics(this.oneSided);
    const regions = new Regions(this.#core);
    this.memory = regions.forPrograms;
    this.#closing = new Closing({
      core: this.#core,
      sender: this.sender,
      receiver: this.receiver,
      peers: this.#peers,
      regions,
      onClosed: () => this.emit('close'),
    });
    this.#start(options);
  }

  #start(options: OpenOptions): void {
    const core = this.#core;
    const { provider, queue, events } = core.opened;
    core.listener = {
      receiveCompleted: (operation: Operation, completions: Completions, index: number) => {
        this.receiver.completed(operation, completions, index);
      },
      receiveFailed: (operation, error, cancelled) => {
        this.receiver.failed(operation, error, cancelled);
      },
      roomMayBeThere: () => {
        this.sender.queue.roomMayBeThere();
        this.receiver.roomMayBeThere();
      },
      fault: (error) => {
        this.#fault(error);
      },
    };
    const spin = provider.spins ? {} : { spinMicroseconds: 0 };
    core.engine = Engine.start(queue, {
      mode: options.progress ?? 'auto',
      sleepBy: queue.waitObject === 'FI_WAIT_NONE' ? 'backoff' : provider.sleepBy,
      ...(options.spinMicroseconds === undefined ? spin : { spinMicroseconds: options.spinMicroseconds }),
      ...(options.maxSleepMicroseconds === undefined
        ? {}
        : { maxSleepMicroseconds: options.maxSleepMicroseconds }),
      eventQueue: events,
      onReadable: () => {
        core.poll(false);
      },
    }).ref();
  }

  // Outside of whatever is being settled just now: a listener may call anything.
  #fault(error: Error): void {
    queueMicrotask(() => {
      if (this.listenerCount('error') > 0) this.emit('error', error);
      else this.#warnings.say(`${error.name}: ${error.message}`);
    });
  }

  /**
   * `fi_av_insert(3)`: the other side, by its contact. The same contact gives the same Peer, counted.
   *
   * @param contact - The other side's endpoint.contact, or the bytes of its fi_getname(3).
   * @throws FabricError ERR_FABRIC_ADDRESS for a contact of another provider or format, with the reason.
   */
  peer(contact: string | Uint8Array): Peer {
    this.#core.requireOpen();
    return this.#peers.peer(contact);
  }

  /** `fi_av_insert(3)` for thousands of contacts at once, off the JavaScript thread. */
  async peers(contacts: Iterable<string | Uint8Array>): Promise<Peer[]> {
    this.#core.requireOpen();
    return this.#peers.peers(contacts);
  }

  /**
   * `fi_send(3)`: sends a message. Sends to one peer go in the order of the calls, whether they wait for room or not.
   *
   * A Uint8Array is copied and may be reused when the promise resolves; a Lease is sent from where it is. A failure after
   * a copied message's promise has resolved is an 'error' event.
   *
   * @throws TypeError, RangeError for wrong arguments, before anything is done.
   * @throws DOMException TimeoutError where there is no room for sendTimeoutMs, or the deadline passed; the signal's
   *   reason where it was aborted. Both have `released`.
   */
  send(peer: Peer, data: Uint8Array | Lease, options?: SendOptions): Promise<void> {
    return this.sender.send(Kind.Send, peer, 0n, data, options);
  }

  /**
   * `fi_send(3)`: sends now or not at all: copies the data, or consumes the Lease.
   *
   * @returns False where there is no room, or earlier sends to the peer still wait. A later failure is an 'error' event.
   */
  trySend(
    peer: Peer,
    data: Uint8Array | Lease,
    options?: Omit<SendOptions, 'signal' | 'timeoutMs'>,
  ): boolean {
    return this.sender.trySend(Kind.Send, peer, 0n, data, options);
  }

  /**
   * `fi_send(3)`, many at once: one crossing into native code for up to 1024 messages. In order, as send(). Where it rejects,
   * the first of them may have been sent.
   */
  sendBatch(peer: Peer, items: Iterable<Uint8Array | Lease>, options?: SendOptions): Promise<void> {
    return this.sender.sendBatch(peer, items, options);
  }

  /**
   * `fi_recv(3)`: receives the next message, in the order of the calls.
   *
   * No provider tells dependably that a peer is dead: without `signal` or `timeoutMs` a recv() may wait for ever.
   *
   * @param into - A Uint8Array to copy the message to, a Lease to receive it in place, or a number of bytes to allocate.
   * @returns Its `data` is a view of `into`. A longer message is `truncated`.
   */
  recv(into: Uint8Array | Lease | number, options?: ReceiveOptions): Promise<Received> {
    return this.receiver.recv(Kind.Receive, into, 0n, 0n, options);
  }

  /**
   * A message that is already here. The first call posts the buffers of messages(), which stay posted until close().
   */
  tryRecv(): Message | undefined {
    this.#core.requireOpen();
    return this.receiver.tryRecv();
  }

  /**
   * `fi_recv(3)`: iterates over what arrives, through buffers that are kept posted (open()'s `receive`). Ends at close().
   * After `break`, what arrives waits for the next recv() or messages().
   */
  messages(options: MessagesOptions & { batch: number }): AsyncIterableIterator<Message[], undefined>;
  messages(options?: MessagesOptions & { batch?: never }): AsyncIterableIterator<Message, undefined>;
  messages(options: MessagesOptions = {}): AsyncIterableIterator<Message | Message[], undefined> {
    this.#core.requireOpen();
    checkMessagesOptions(options);
    return new MessageIterator<Message | Message[]>(this.receiver.inbox, options);
  }

  /**
   * `fi_cq_readfrom(3)`: reads the completion queue now.
   *
   * @returns How many operations finished; their promises settle in the microtasks that follow.
   */
  poll(max?: number): number {
    this.#core.requireOpen();
    if (max !== undefined && max <= 0) return 0;
    return this.#core.poll(false);
  }

  /** Counters since open(), and what is under way now. */
  stats(): EndpointStats {
    const { counters, operations, engine } = this.#core;
    const { threadReads, spinsMissed } =
      this.#core.state === 'closed' ? { threadReads: 0, spinsMissed: 0 } : engine.counters;
    return {
      ...counters.values(),
      sendsWaiting: this.sender.queue.length,
      sendsInFlight: operations.sendsInFlight,
      receivesPosted: operations.receivesInFlight,
      messagesHeld: this.receiver.inbox.heldMessages,
      threadReads,
      spinsMissed,
      peers: this.#peers.size,
    };
  }

  /** An open endpoint keeps the process alive, as a listening socket does: this is the default. */
  ref(): this {
    this.#core.engine.ref();
    return this;
  }

  /** The endpoint no longer keeps the process alive. */
  unref(): this {
    this.#core.engine.unref();
    return this;
  }

  /** Whether close() was called. */
  get closed(): boolean {
    return this.#core.state !== 'open';
  }

  /**
   * `fi_close(3)`: receives reject and iterators end at once; sends drain, within the bound; then everything unfinished
   * rejects, and libfabric's objects are closed off the JavaScript thread. Idempotent.
   *
   * @param options - `timeoutMs`: bound on draining, and on the provider's own closing after it; default 5000.
   */
  close(options: { timeoutMs?: number } = {}): Promise<void> {
    return this.#closing.close(options.timeoutMs);
  }

  /** close(), for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
