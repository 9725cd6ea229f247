// fi_endpoint(3): endpoints of one address and several queues.
import { AddressVector } from './address-vector.js';
import { CompletionQueue } from './completion-queue.js';
import { FI_RECV, FI_SELECTIVE_COMPLETION, FI_TRANSMIT } from './constants.js';
import { Counter } from './counter.js';
import { DataEndpoint } from './data-endpoint.js';
import { Domain } from './domain.js';
import {
  STATUS_BUSY,
  check,
  checkInteger,
  inUseError,
  rangeError,
  statusError,
  typeError,
} from './errors.js';
import { nativeInfo } from './fabric.js';
import type { Info } from './info.js';
import { addon } from './library.js';
import { OptionEndpoint } from './option-endpoint.js';
import { openedWhereThereIs } from './shared-context.js';

/**
 * A scalable endpoint (fi_endpoint(3)): one address with several queues, its TransmitContexts and ReceiveContexts, which move
 * the data. Bind the AddressVector, open the contexts, bind a CompletionQueue to each and enable them. They are closed before
 * it. A peer sends to one of the receive contexts by AddressVector.receiveContext().
 */
export class ScalableEndpoint extends OptionEndpoint {
  /** What it was opened with. */
  readonly info: Info;
  #addresses: AddressVector | undefined;

  private constructor(handle: number, domain: Domain, info: Info) {
    super(handle, 'ScalableEndpoint', [domain]);
    this.info = info;
  }

  /**
   * `fi_scalable_ep(3)`: opens a scalable endpoint.
   *
   * @param info - Asked for with hints.transmit.contexts and hints.receive.contexts, how many of each it is to have.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has none.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  static async open(domain: Domain, info: Info): Promise<ScalableEndpoint> {
    if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
    const handle = await openedWhereThereIs(
      addon().openScalable(domain.handle, nativeInfo(info)),
      'fi_scalable_ep',
      info,
      'hints.transmit.contexts and hints.receive.contexts say how many contexts it has',
    );
    return new ScalableEndpoint(handle, domain, info);
  }

  /** What is bound. */
  get addresses(): AddressVector | undefined {
    return this.#addresses;
  }

  /**
   * `fi_scalable_ep_bind(3)`: binds the address vector of all its contexts, before they are opened.
   *
   * @throws FabricError FI_EOPBADSTATE after one of the contexts was closed.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  bind(addresses: AddressVector): void {
    if (!(addresses instanceof AddressVector)) throw typeError('addresses', addresses, 'an AddressVector');
    this.parents[0].checkOwns('addresses', addresses);
    check(
      addon().bindEndpoint(this.handle, addresses.handle, 0n),
      'fi_scalable_ep_bind',
      'the ScalableEndpoint',
    );
    this.#addresses = addresses;
  }

  /**
   * `fi_enable(3)`: makes the endpoint ready, with all contexts that are open. Those can also be enabled one by one.
   *
   * @throws FabricError FI_EOPBADSTATE after one of the contexts was closed.
   */
  async enable(): Promise<void> {
    check(await addon().enableEndpoint(this.handle), 'fi_enable', this.info.provider);
  }

  /** `fi_getname(3)`: the endpoint's address, for the AddressVector of a peer. Final once something was enabled. */
  getName(): Uint8Array {
    const result = addon().endpointName(this.handle);
    if (typeof result === 'number') throw statusError(result, 'fi_getname', 'the ScalableEndpoint');
    return result;
  }
}

async function openContext(
  endpoint: ScalableEndpoint,
  index: number,
  direction: 'transmit' | 'receive',
): Promise<number> {
  if (!(endpoint instanceof ScalableEndpoint)) throw typeError('endpoint', endpoint, 'a ScalableEndpoint');
  const call = direction === 'transmit' ? 'fi_tx_context' : 'fi_rx_context';
  const count = endpoint.info[direction].contexts;
  if (typeof count !== 'number')
    throw rangeError(`info.${direction}.contexts`, count, 'a number of contexts', 'Ask for it in the hints');
  checkInteger('index', index, 0, Math.max(count, 1) - 1);
  const answer = await addon().openContext(endpoint.handle, index, direction === 'receive');
  if (answer === STATUS_BUSY) throw inUseError(`${call}: context ${String(index)} is open already`, call);
  return check(answer, call, endpoint.info.provider);
}

/** What TransmitContext and ReceiveContext have in common. */
export abstract class ScalableContext extends DataEndpoint {
  /** Its place among those of its endpoint. */
  readonly index: number;

  /** @internal */
  protected constructor(handle: number, name: string, endpoint: ScalableEndpoint, index: number) {
    // The address vector is needed as long as a context is.
    super(handle, name, [endpoint], endpoint.info);
    this.index = index;
  }

  /** @internal FI_TRANSMIT or FI_RECV. */
  protected abstract readonly direction: bigint;

  /**
   * `fi_ep_bind(3)`: binds a queue or a counter. It cannot be closed before the context.
   *
   * @param flags - For a CompletionQueue FI_TRANSMIT or FI_RECV, whichever the context does, which is the default, and
   *   FI_SELECTIVE_COMPLETION. For a Counter what it counts, as Endpoint.bind() has it.
   */
  bind(other: CompletionQueue | Counter, flags = this.direction): void {
    if (!(other instanceof CompletionQueue) && !(other instanceof Counter))
      throw typeError('other', other, 'a CompletionQueue or a Counter');
    this.parents[0].parents[0].checkOwns('other', other);
    if (other instanceof CompletionQueue && (flags & ~FI_SELECTIVE_COMPLETION) !== this.direction)
      throw rangeError('flags', flags, this.direction === FI_RECV ? 'FI_RECV' : 'FI_TRANSMIT');
    this.bindTo(other, flags);
  }

  /**
   * `fi_enable(3)`: makes the context ready, off the JavaScript thread.
   *
   * @throws FabricError FI_ENOCQ where no CompletionQueue is bound.
   */
  async enable(): Promise<void> {
    check(await addon().enableEndpoint(this.handle), 'fi_enable', this.info.provider);
  }
}

/**
 * A queue of a ScalableEndpoint that sends (fi_endpoint(3)). It has the calls of an Endpoint that send, read, write and do
 * atomics; receives are refused with ERR_FABRIC_UNSUPPORTED.
 */
export class TransmitContext extends ScalableContext {
  /** @internal */
  protected readonly direction = FI_TRANSMIT;

  /**
   * `fi_tx_context(3)`: opens one of the contexts.
   *
   * @param index - From 0, below info.transmit.contexts.
   * @throws FabricError FI_ENOCQ where no AddressVector is bound; ERR_FABRIC_BUSY where this one is open already.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  static async open(endpoint: ScalableEndpoint, index: number): Promise<TransmitContext> {
    const handle = await openContext(endpoint, index, 'transmit');
    return new TransmitContext(handle, 'TransmitContext', endpoint, index);
  }
}

/**
 * A queue of a ScalableEndpoint that receives (fi_endpoint(3)). It has the calls of an Endpoint that receive; others are
 * refused with ERR_FABRIC_UNSUPPORTED.
 */
export class ReceiveContext extends ScalableContext {
  /** @internal */
  protected readonly direction = FI_RECV;

  /**
   * `fi_rx_context(3)`: opens one of the contexts.
   *
   * @param index - From 0, below info.receive.contexts.
   * @throws FabricError FI_ENOCQ where no AddressVector is bound; ERR_FABRIC_BUSY where this one is open already.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  static async open(endpoint: ScalableEndpoint, index: number): Promise<ReceiveContext> {
    const handle = await openContext(endpoint, index, 'receive');
    return new ReceiveContext(handle, 'ReceiveContext', endpoint, index);
  }
}
