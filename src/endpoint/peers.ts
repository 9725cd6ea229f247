// The peers of an endpoint, by address: the only place that inserts into and removes from its AddressVector.
import { closedError, statusError } from '../fi/errors.js';
import { type Contact, formatContact, parseContact } from './contact.js';
import type { Core } from './core.js';
import { meet, moveIn } from './neighbours.js';
import { Peer, type PeerOwner } from './peer.js';

export class PeerTable implements PeerOwner {
  readonly #core: Core;
  readonly #own: Contact;
  readonly #onClose: (peer: Peer, reason: Error) => void;
  readonly #byContact = new Map<string, Peer>();
  /** Addresses of closed peers that could not be removed. */
  readonly #left = new Map<string, number>();

  constructor(core: Core, own: Contact, onClose: (peer: Peer, reason: Error) => void) {
    this.#core = core;
    this.#own = own;
    this.#onClose = onClose;
    if (core.opened.provider.sharedMemoryFiles) moveIn(core.endpoint, formatContact(own));
  }

  get size(): number {
    return this.#byContact.size;
  }

  peer(contact: string | Uint8Array): Peer {
    const parsed = parseContact(contact, this.#own);
    const text = formatContact(parsed);
    const known = this.#byContact.get(text);
    if (known !== undefined) {
      known.uses += 1;
      return known;
    }
    return this.#add(text, this.#left.get(text) ?? this.#core.opened.addresses.insert(parsed.address));
  }

  async peers(contacts: Iterable<string | Uint8Array>): Promise<Peer[]> {
    const parsed = [...contacts].map((contact) => parseContact(contact, this.#own));
    const texts = parsed.map(formatContact);
    const unknown = new Map<string, Uint8Array>();
    texts.forEach((text, index) => {
      const left = this.#left.get(text);
      if (this.#byContact.has(text)) return;
      if (left === undefined) unknown.set(text, parsed[index].address);
      else this.#add(text, left).uses = 0;
    });
    const inserted = await this.#core.opened.addresses.insertMany([...unknown.values()]);
    [...unknown.keys()].forEach((text, index) => {
      const address = inserted[index];
      if (address < 0) throw statusError(address, 'fi_av_insert', text);
      // Somebody may have asked for it meanwhile.
      if (!this.#byContact.has(text)) this.#add(text, address).uses = 0;
    });
    return texts.map((text) => {
      const peer = this.#byContact.get(text);
      if (peer === undefined) throw closedError(`the contact '${text}', which was given up meanwhile,`);
      peer.uses += 1;
      return peer;
    });
  }

  #add(text: string, address: number): Peer {
    this.#left.delete(text);
    if (this.#core.opened.provider.sharedMemoryFiles) meet(this.#core.endpoint, text);
    const peer = new Peer(this, text, address);
    this.#byContact.set(text, peer);
    this.#core.peersByAddress[address] = peer;
    return peer;
  }

  closePeer(peer: Peer, reason: Error): void {
    if (this.#byContact.get(peer.contact) === peer) this.#byContact.delete(peer.contact);
    this.#onClose(peer, reason);
    if (this.#core.peersByAddress[peer.address] !== peer) return;
    this.#core.peersByAddress[peer.address] = undefined;
    if (peer.inFlight === 0) this.idle(peer);
  }

  /**
   * `fi_av_remove(3)`, of a closed peer that nothing is in flight to: the provider may drop what is in flight to a removed
   * address without a completion.
   */
  idle(peer: Peer): void {
    const { state, peersByAddress, opened } = this.#core;
    // Somebody may have asked for the same contact again, and got the same address.
    if (state === 'closed' || peersByAddress[peer.address] !== undefined) return;
    if (!opened.provider.removesAddresses) {
      this.#left.set(peer.contact, peer.address);
      return;
    }
    try {
      opened.addresses.remove(peer.address);
    } catch {
      // A provider that refuses keeps an entry that nobody uses.
    }
  }

  /** At the endpoint's end. */
  closeAll(): void {
    for (const peer of this.#byContact.values()) peer.markClosed();
    this.#byContact.clear();
    this.#core.peersByAddress.length = 0;
  }
}
