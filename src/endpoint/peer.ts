// A peer: whom to send to.
import { inspect } from 'node:util';
import { closedError } from '../fi/errors.js';
import type { WaitingSend } from './send-queue.js';

/** @internal What an endpoint does for its peers. */
export interface PeerOwner {
  closePeer(peer: Peer, reason: Error): void;
  /** Nothing is in flight to a closed peer any more. */
  idle(peer: Peer): void;
}

/**
 * The other side of messages, by its contact. Asking an endpoint for the same contact again gives the same Peer, counted:
 * each dispose takes one count back, the last one closes it.
 */
export class Peer implements Disposable {
  /** The other side's contact. */
  readonly contact: string;
  /** @internal fi_addr_t in the endpoint's AddressVector. */
  readonly address: number;
  /** @internal */
  readonly owner: PeerOwner;
  /** @internal Sends that wait for room, in the order of their calls. */
  readonly waiting: WaitingSend[] = [];
  /** @internal */
  inFlight = 0;
  /** @internal Of copied messages. */
  bytesInFlight = 0;
  /** @internal */
  uses = 1;
  #closed = false;

  /** @internal */
  constructor(owner: PeerOwner, contact: string, address: number) {
    this.owner = owner;
    this.contact = contact;
    this.address = address;
  }

  /** Whether close() was called, or the endpoint closed. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Settles every operation to this peer, and every receive that is only from it, by rejecting it with the reason. For a
   * peer that is dead: no provider for reliable datagrams tells so dependably.
   *
   * @param reason - Default an ERR_FABRIC_CLOSED.
   */
  close(reason?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.owner.closePeer(this, reason ?? closedError(`the peer ${this.contact}`));
  }

  /** @internal The endpoint is closed and settled everything itself. */
  markClosed(): void {
    this.#closed = true;
  }

  /** What console.log() shows. */
  [inspect.custom](): string {
    return `Peer ${this.contact}${this.#closed ? ' (closed)' : ''}`;
  }

  /** Takes one count back; the last one closes the peer. */
  [Symbol.dispose](): void {
    if (this.uses > 0) this.uses -= 1;
    if (this.uses === 0) this.close();
  }
}
