// fi_endpoint(3): what sends and receives.
import { AddressVector } from './address-vector.js';
import { CompletionQueue } from './completion-queue.js';
import { FI_RECV, FI_TRANSMIT } from './constants.js';
import { Counter } from './counter.js';
import { DataEndpoint } from './data-endpoint.js';
import { Domain } from './domain.js';
import { check, statusError, typeError, unsupportedError } from './errors.js';
import { EventQueue } from './event-queue.js';
import { nativeInfo } from './fabric.js';
import type { Info } from './info.js';
import { addon } from './library.js';
import { opened } from './object.js';

/**
 * An endpoint (fi_endpoint(3)): connectionless and reliable (FI_EP_RDM), connectionless and unreliable (FI_EP_DGRAM), or
 * one side of a connection (FI_EP_MSG).
 *
 * A datagram may be lost, or come twice, or out of order; what is longer than info.maxMessageSize is refused with
 * FI_EMSGSIZE. Where the provider asks for FI_MSG_PREFIX, its prefix is part of every `length` and lies at `offset`,
 * before the message (info.transmit.messagePrefixSize, info.receive.messagePrefixSize).
 */
export class Endpoint extends DataEndpoint {
  private constructor(handle: number, domain: Domain, info: Info) {
    super(handle, 'Endpoint', [domain], info);
  }

  /** `fi_endpoint(3)`: opens an endpoint; bind and enable it before use. */
  static async open(domain: Domain, info: Info): Promise<Endpoint> {
    if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
    const native = nativeInfo(info);
    if (info.endpointType !== 'FI_EP_DGRAM' && info.transmit.messagePrefixSize > 0)
      throw unsupportedError(
        `message prefixes are for endpoints of type FI_EP_DGRAM, and this is ${info.endpointType}: leave FI_MSG_PREFIX ` +
          'out of hints.mode',
        'fi_endpoint',
      );
    const handle = await opened(addon().openEndpoint(domain.handle, native), 'fi_endpoint', info.provider);
    return new Endpoint(handle, domain, info);
  }

  /**
   * `fi_ep_bind(3)`: binds a queue, a counter or an address vector. It cannot be closed before the endpoint.
   *
   * @param flags - For a CompletionQueue FI_TRANSMIT, FI_RECV, or both, which is the default. For a Counter what it counts:
   *   FI_SEND, FI_RECV, FI_READ, FI_WRITE, FI_REMOTE_READ, FI_REMOTE_WRITE; FI_SEND and FI_RECV by default. Otherwise 0n.
   * @throws RangeError for an object of another Domain, or an EventQueue of another Fabric.
   * @throws FabricError with the fi_errno where the provider does not count what is asked for.
   */
  bind(other: AddressVector | CompletionQueue | Counter | EventQueue, flags?: bigint): void {
    const moves = other instanceof CompletionQueue || other instanceof Counter;
    if (!moves && !(other instanceof AddressVector) && !(other instanceof EventQueue))
      throw typeError('other', other, 'an AddressVector, a CompletionQueue, a Counter or an EventQueue');
    const domain = this.parents[0];
    (other instanceof EventQueue ? domain.parents[0] : domain).checkOwns('other', other);
    const bits = flags ?? (moves ? FI_TRANSMIT | FI_RECV : 0n);
    this.bindTo(other, bits);
    if (other instanceof EventQueue) {
      other.attach(this);
      this.boundEvents = other;
    }
  }

  /**
   * `fi_enable(3)`: makes the endpoint ready, off the JavaScript thread.
   *
   * @throws FabricError FI_ENOCQ where a CompletionQueue or the AddressVector is not bound.
   */
  async enable(): Promise<void> {
    check(await addon().enableEndpoint(this.handle), 'fi_enable', this.info.provider);
  }

  /** `fi_getname(3)`: the endpoint's address, for the AddressVector of a peer. Final after enable(). */
  getName(): Uint8Array {
    const result = addon().endpointName(this.handle);
    if (typeof result === 'number') throw statusError(result, 'fi_getname');
    return result;
  }
}
