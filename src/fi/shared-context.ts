// fi_endpoint(3): queues that several endpoints share.
import { CompletionQueue } from './completion-queue.js';
import { DataEndpoint } from './data-endpoint.js';
import { Domain } from './domain.js';
import { isLacking, typeError, unsupportedError } from './errors.js';
import { nativeInfo } from './fabric.js';
import type { Info } from './info.js';
import { addon } from './library.js';
import { FabricObject, opened } from './object.js';

/** As opened(), of what few providers have. @internal */
export async function openedWhereThereIs(
  answer: Promise<number>,
  call: string,
  info: Info,
  wanted: string,
): Promise<number> {
  const handle = await answer;
  if (isLacking(handle))
    throw unsupportedError(
      `the provider ${info.provider} has no ${call}, or not for this Info: ${wanted}`,
      call,
    );
  return opened(Promise.resolve(handle), call, info.provider);
}

/**
 * A receive context that several endpoints share (fi_endpoint(3)): a buffer posted here takes the next message of any of
 * them. Its receives complete in the CompletionQueue that it was opened with, which all of those endpoints have bound too;
 * connectionless ones also share one AddressVector.
 *
 * It has the calls that receive: recv(), recvTagged(), recvVector(), recvMessage() and their like. Others are refused with
 * ERR_FABRIC_UNSUPPORTED, as receives are on the endpoints themselves; so are FI_PEEK and FI_CLAIM, and cancel() where the
 * provider would take a receive back without telling. Which of the endpoints a message came to is not told.
 *
 * On provider sockets, close an endpoint while a receive is outstanding here that takes any message, and one of any tag where
 * there are tagged messages: else one to the endpoint may be left, at which the provider would crash, and further receives of
 * that kind are refused with FI_EOPBADSTATE.
 */
export class SharedReceiveContext extends DataEndpoint {
  private constructor(handle: number, domain: Domain, queue: CompletionQueue, info: Info) {
    super(handle, 'SharedReceiveContext', [domain, queue], info);
  }

  /**
   * `fi_srx_context(3)`: opens a shared receive context; bind it to endpoints before enable().
   *
   * @param info - Asked for with hints.receive.contexts 'FI_SHARED_CONTEXT'. Its attributes (info.receive) are the context's.
   * @param queue - The CompletionQueue of the endpoints that will share it.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has none.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  static async open(domain: Domain, info: Info, queue: CompletionQueue): Promise<SharedReceiveContext> {
    if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
    if (!(queue instanceof CompletionQueue)) throw typeError('queue', queue, 'a CompletionQueue');
    domain.checkOwns('queue', queue);
    const handle = await openedWhereThereIs(
      addon().openSharedReceive(domain.handle, nativeInfo(info), queue.handle),
      'fi_srx_context',
      info,
      "hints.receive.contexts must be 'FI_SHARED_CONTEXT'",
    );
    return new SharedReceiveContext(handle, domain, queue, info);
  }
}

/**
 * A transmit context that several endpoints share (fi_endpoint(3)): bind it before enable(), then post on the endpoints as
 * ever, and read their own CompletionQueues. Provider sockets goes on in the shared queue with what an endpoint has sent, so
 * there the endpoint's close is refused with ERR_FABRIC_BUSY until the completions were read; and inject() and its like, which
 * have none, with ERR_FABRIC_UNSUPPORTED: FI_INJECT with sendMessage() has one. A peer there that ends while something is on
 * its way to it through such a context takes this process along: sockets looks at a null pointer.
 */
export class SharedTransmitContext extends FabricObject {
  readonly #info: Info;

  private constructor(handle: number, domain: Domain, info: Info) {
    super(handle, 'SharedTransmitContext', [domain]);
    this.#info = info;
  }

  /** What it was opened with. */
  get info(): Info {
    return this.#info;
  }

  /**
   * `fi_stx_context(3)`: opens a shared transmit context.
   *
   * @param info - Asked for with hints.transmit.contexts 'FI_SHARED_CONTEXT'. Its attributes (info.transmit) are the context's.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has none.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  static async open(domain: Domain, info: Info): Promise<SharedTransmitContext> {
    if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
    const handle = await openedWhereThereIs(
      addon().openSharedTransmit(domain.handle, nativeInfo(info)),
      'fi_stx_context',
      info,
      "hints.transmit.contexts must be 'FI_SHARED_CONTEXT'",
    );
    return new SharedTransmitContext(handle, domain, info);
  }
}
