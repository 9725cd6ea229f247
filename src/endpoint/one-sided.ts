// Reads and writes of other processes' memory: in the peer's line as sends are, from and into memory of the endpoint's own.
import { checkBytes, rangeError, typeError, unsupportedError } from '../fi/errors.js';
import { RemoteMemory } from '../fi/index.js';
import { checkCompletion, checkData, checkPeer, checkReadInto } from './arguments.js';
import type { Core } from './core.js';
import { checkDeadline, hasDeadline } from './deadline.js';
import { Kind, type Operation, Outcome, type Waiter, fillsLease, settling } from './operation.js';
import type { Peer, PeerOwner } from './peer.js';
import type { SendQueue } from './send-queue.js';
import { type Chunk, Lease, copyInto } from './slab.js';
import { spendTurn, untilNextTurn } from './turn.js';
import type { Deadline, Limits, RemoteMemoryDescriptor, SendOptions, WriteOptions } from './types.js';

/** An operation with all that was checked of it. */
export interface Request {
  readonly kind: Kind;
  readonly peer: Peer;
  /** The program's own memory, where it gave some that needs no copy. */
  readonly lease?: Lease | undefined;
  /** Bytes that it needs here. */
  readonly room: number;
  /** Bytes that it moves, for counters and errors. */
  readonly length: number;
  /** Puts into a chunk what is to leave. */
  fill?: ((chunk: Chunk) => void) | undefined;
  /** The call into libfabric. False: no room. */
  readonly call: (chunk: Chunk, context: number) => boolean;
  /** Takes out of the chunk what has come. */
  bring?: ((chunk: Chunk) => void) | undefined;
}

/** What the other side's memory must allow. */
export interface Needs {
  readable?: boolean;
  writable?: boolean;
}

/** Resolved already: the answer where the operation is done when its call returns. */
const RESOLVED = Promise.resolve();

const words = { readable: 'remoteRead', writable: 'remoteWrite' } as const;

export class OneSided {
  readonly core: Core;
  readonly #owner: PeerOwner;
  readonly #limits: Limits;
  readonly #queue: SendQueue;

  constructor(core: Core, owner: PeerOwner, limits: Limits, queue: SendQueue) {
    this.core = core;
    this.#owner = owner;
    this.#limits = limits;
    this.#queue = queue;
  }

  /** What every call begins with. */
  check(peer: Peer, options: Deadline | undefined): void {
    this.core.requireOpen();
    checkPeer(peer, this.#owner);
    if (options !== undefined) checkDeadline(options);
  }

  /** The other side's memory, once `length` bytes are known to be inside it and what is needed to be allowed. */
  checkRemote(remote: RemoteMemoryDescriptor, length: number, needs: Needs): RemoteMemory {
    if (typeof remote !== 'object' || (remote as unknown) === null || typeof remote.key !== 'bigint')
      throw typeError('remote', remote, 'a RemoteMemory', 'RemoteMemory.from() reads what a peer has sent');
    const checked =
      remote instanceof RemoteMemory
        ? remote
        : new RemoteMemory(remote.key, remote.address, remote.length, remote);
    if (length > checked.length)
      throw rangeError(
        'remote.length',
        checked.length,
        `at least ${String(length)}, the bytes of the operation`,
      );
    for (const access of ['readable', 'writable'] as const)
      if (needs[access] === true && !checked[access])
        throw typeError('remote', remote, access, `Its owner has to register it with '${words[access]}'`);
    return checked;
  }

  write(
    peer: Peer,
    data: Uint8Array | Lease,
    remote: RemoteMemoryDescriptor,
    options: WriteOptions | undefined,
  ): Promise<void> {
    try {
      return this.start(this.#writing(peer, data, remote, options), options) ?? RESOLVED;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #writing(
    peer: Peer,
    data: Uint8Array | Lease,
    remote: RemoteMemoryDescriptor,
    options: WriteOptions | undefined,
  ): Request {
    this.check(peer, options);
    if ((options as SendOptions | undefined)?.immediate !== undefined)
      throw unsupportedError('write() carries no immediate data: send() a message behind it', 'fi_writedata');
    const { memory: own, endpoint, opened } = this.core;
    const length = checkData(data, own, this.#limits);
    const target = this.checkRemote(remote, length, { writable: true });
    const { deliversWrites } = opened.provider;
    const asked = options?.completion ?? (deliversWrites ? 'delivery' : 'buffer');
    const completion = checkCompletion(asked, opened.provider, deliversWrites);
    const flags = completion === undefined ? undefined : { completion };
    const { address } = peer;
    const request: Request = {
      kind: Kind.Write,
      peer,
      lease: data instanceof Lease ? data : undefined,
      room: length,
      length,
      call: ({ memory, offset }, context) =>
        endpoint.write(memory, offset, length, address, target, context, flags),
    };
    if (!(data instanceof Lease))
      request.fill = ({ bytes }) => {
        copyInto(bytes, checkBytes('data', data));
      };
    return request;
  }

  read(
    peer: Peer,
    into: Uint8Array | Lease | number,
    remote: RemoteMemoryDescriptor,
    options: Deadline | undefined,
  ): Promise<Uint8Array> {
    try {
      this.check(peer, options);
      const length = checkReadInto(into, this.core.memory, this.#limits);
      const bytes =
        typeof into === 'number' ? new Uint8Array(into) : into instanceof Lease ? into.data : into;
      const done = this.start(this.#reading(peer, into, bytes, length, remote), options);
      return done === undefined ? Promise.resolve(bytes) : done.then(() => bytes);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #reading(
    peer: Peer,
    into: Uint8Array | Lease | number,
    bytes: Uint8Array,
    length: number,
    remote: RemoteMemoryDescriptor,
  ): Request {
    const { endpoint } = this.core;
    const source = this.checkRemote(remote, length, { readable: true });
    const { address } = peer;
    const request: Request = {
      kind: Kind.Read,
      peer,
      lease: into instanceof Lease ? into : undefined,
      room: length,
      length,
      call: ({ memory, offset }, context) => endpoint.read(memory, offset, length, address, source, context),
    };
    if (!(into instanceof Lease))
      request.bring = (chunk) => {
        copyInto(checkBytes('into', bytes), chunk.first(length));
      };
    return request;
  }

  /** Posts a request as soon as there is room, and looks at once whether it is done: undefined where it is. */
  start(request: Request, deadline: Deadline | undefined): Promise<void> | undefined {
    // Nothing is to be moved: shm and rxd never complete such a one.
    if (request.length === 0) return undefined;
    if (request.peer.waiting.length !== 0 || (deadline !== undefined && hasDeadline(deadline)))
      return this.#enqueue(request, deadline);
    const { kind, peer, lease } = request;
    const fills = fillsLease(kind);
    // In flight from here on, for the program; once it is posted, the operation gives it back.
    if (fills) lease?.beginReceive();
    else lease?.beginSend();
    const outcome = new Outcome();
    let operation: Operation | undefined;
    try {
      operation = this.#post(request, outcome);
    } finally {
      if (operation === undefined) lease?.end(fills);
    }
    if (operation === undefined) return this.#enqueue(request, deadline);
    // Of several at once the first would spin for what the others could start meanwhile.
    this.core.poll(peer.inFlight === 1);
    if (!outcome.settled) return this.#fairly(this.#pending(operation));
    if (outcome.failed) return Promise.reject(outcome.reason);
    return spendTurn() ? undefined : untilNextTurn();
  }

  /** Of an operation that the provider has and nobody waits for yet. */
  #pending(operation: Operation): Promise<void> {
    const { core } = this;
    core.beginWait();
    return new Promise((resolve, reject) => {
      operation.send = settling({ resolve, reject }, () => {
        core.endWait();
      });
    });
  }

  /** Not before the loop's next turn, where this one has settled enough. */
  #fairly(done: Promise<void>): Promise<void> {
    return spendTurn() ? done : Promise.all([done, untilNextTurn()]).then(() => undefined);
  }

  /** In the line of the peer's, which deadlines end. */
  #enqueue(request: Request, deadline: Deadline | undefined): Promise<void> {
    const { kind, peer, lease } = request;
    const fills = fillsLease(kind);
    // In flight from here on, for the program; once it is posted, the operation gives it back.
    if (fills) lease?.beginReceive();
    else lease?.beginSend();
    const done = this.#queue.add(
      peer,
      {
        kind,
        post: (waiter) => this.#post(request, waiter),
        leave: (posted) => {
          if (!posted) lease?.end(fills);
        },
      },
      deadline,
    );
    this.core.poll(peer.inFlight === 1);
    return this.#fairly(done);
  }

  /** Gives a request to the provider; undefined where there is no room. Throws what else the provider says. */
  #post(request: Request, waiter: Waiter<void>): Operation | undefined {
    const { core } = this;
    const { kind, peer, lease, room, length, fill, call, bring } = request;
    if (!core.hasRoomFor(peer, lease === undefined ? room : 0)) return undefined;
    const operation = core.operations.takeSend();
    if (operation === undefined) return undefined;
    let chunk: Chunk | undefined;
    let posted = false;
    try {
      chunk = lease === undefined ? core.memory.take(room) : lease.chunk;
      if (chunk.slab.failure !== undefined) throw chunk.slab.failure;
      if (chunk.slab.ready) {
        fill?.(chunk);
        posted = call(chunk, operation.context);
      }
    } finally {
      if (!posted) {
        core.operations.release(operation);
        if (lease === undefined && chunk !== undefined) core.memory.release(chunk);
      }
    }
    if (!posted) {
      core.counters.timesWithoutRoom += 1;
      return undefined;
    }
    operation.kind = kind;
    operation.chunk = chunk;
    operation.lease = lease;
    operation.peer = peer;
    operation.length = length;
    operation.bring = bring;
    operation.send = waiter;
    peer.inFlight += 1;
    if (lease === undefined) {
      core.bytesInFlight += chunk.bytes.byteLength;
      peer.bytesInFlight += chunk.bytes.byteLength;
    }
    this.#count(request);
    return operation;
  }

  #count({ kind, lease, length }: Request): void {
    const { counters } = this.core;
    if (kind === Kind.Write) {
      counters.writes += 1;
      counters.bytesWritten += length;
    } else if (kind === Kind.Read) {
      counters.reads += 1;
      counters.bytesRead += length;
    } else {
      counters.atomics += 1;
    }
    if (lease === undefined) counters.bytesCopied += length;
  }
}
