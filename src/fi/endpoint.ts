// fi_endpoint(3): what sends and receives.
import { AddressVector } from './address-vector.js';
import { CompletionQueue } from './completion-queue.js';
import { FI_RECV, FI_TRANSMIT } from './constants.js';
import { Counter } from './counter.js';
import { DataEndpoint } from './data-endpoint.js';
import { Domain } from './domain.js';
import { check, checkUint64, statusError, typeError, unsupportedError } from './errors.js';
import { EventQueue } from './event-queue.js';
import { nativeInfo } from './fabric.js';
import type { Info } from './info.js';
import { addon } from './library.js';
import { type Flags, flagBits } from './names.js';
import { type FabricObject, opened } from './object.js';
import { directionFlag } from './option-endpoint.js';
import { SharedReceiveContext, SharedTransmitContext, openedWhereThereIs } from './shared-context.js';

const bindable = [AddressVector, EventQueue, SharedReceiveContext, SharedTransmitContext] as const;

/** What an Endpoint can be bound to. */
export type Bindable =
  AddressVector | CompletionQueue | Counter | EventQueue | SharedReceiveContext | SharedTransmitContext;

/**
 * An endpoint (fi_endpoint(3)): connectionless and reliable (FI_EP_RDM), connectionless and unreliable (FI_EP_DGRAM), or
 * one side of a connection (FI_EP_MSG).
 *
 * A datagram may be lost, or come twice, or out of order; what is longer than info.maxMessageSize is refused with
 * FI_EMSGSIZE. Where the provider asks for FI_MSG_PREFIX, its prefix is part of every `length` and lies at `offset`,
 * before the message (info.transmit.messagePrefixSize, info.receive.messagePrefixSize).
 */
export class Endpoint extends DataEndpoint {
  readonly #domain: Domain;

  private constructor(handle: number, domain: Domain, info: Info, parent: FabricObject = domain) {
    super(handle, 'Endpoint', [parent], info);
    this.#domain = domain;
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
   * `fi_ep_bind(3)`: binds a queue, a counter, an address vector or a shared context. It cannot be closed before the
   * endpoint.
   *
   * @param flags - For a CompletionQueue FI_TRANSMIT, FI_RECV, or both, which is the default. For a Counter what it counts:
   *   FI_SEND, FI_RECV, FI_READ, FI_WRITE, FI_REMOTE_READ, FI_REMOTE_WRITE; FI_SEND and FI_RECV by default. Otherwise 0n.
   * @throws RangeError for an object of another Domain, or an EventQueue of another Fabric.
   * @throws FabricError with the fi_errno where the provider does not count what is asked for; FI_EINVAL for a shared context
   *   where the endpoint's Info does not say FI_SHARED_CONTEXT.
   */
  bind(other: Bindable, flags?: bigint): void {
    const moves = other instanceof CompletionQueue || other instanceof Counter;
    if (!moves && !bindable.some((one) => other instanceof one))
      throw typeError(
        'other',
        other,
        'an AddressVector, a CompletionQueue, a Counter, an EventQueue, a SharedReceiveContext or a SharedTransmitContext',
      );
    (other instanceof EventQueue ? this.#domain.parents[0] : this.#domain).checkOwns('other', other);
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
   * @throws FabricError FI_ENOCQ where a CompletionQueue or the AddressVector is not bound; FI_EINVAL where the shared
   *   context is missing that its Info says, or that has another CompletionQueue or AddressVector.
   */
  async enable(): Promise<void> {
    check(await addon().enableEndpoint(this.handle), 'fi_enable', this.info.provider);
  }

  /**
   * `fi_ep_alias(3)`: an alias of an endpoint that is enabled: the same endpoint with flags of its own for operations that are
   * given none. What is posted on it belongs to the endpoint, goes on when the alias is closed, and completes in the
   * endpoint's queues. An alias is closed before its endpoint; nothing is bound to it.
   *
   * @param direction - Which operations the flags are for; of the others the endpoint's hold.
   * @param flags - Such as ['FI_DELIVERY_COMPLETE'].
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has none.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  async alias(direction: 'transmit' | 'receive', flags: Flags): Promise<Endpoint> {
    const bits = directionFlag(direction) | checkUint64('flags', flagBits('operation', flags, 'flags'));
    const answer = addon().openAlias(this.handle, bits);
    const handle = await openedWhereThereIs(answer, 'fi_ep_alias', this.info, 'its endpoints have no alias');
    return new Endpoint(handle, this.#domain, this.info, this);
  }

  /** `fi_getname(3)`: the endpoint's address, for the AddressVector of a peer. Final after enable(). */
  getName(): Uint8Array {
    const result = addon().endpointName(this.handle);
    if (typeof result === 'number') throw statusError(result, 'fi_getname');
    return result;
  }
}
