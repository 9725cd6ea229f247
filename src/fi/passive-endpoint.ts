// fi_passive_ep(3): what listens for connections.
import { FI_BACKLOG } from './constants.js';
import { check, checkBytes, checkInteger, statusError, typeError } from './errors.js';
import { EventQueue } from './event-queue.js';
import { Fabric, nativeInfo } from './fabric.js';
import type { Info } from './info.js';
import { addon } from './library.js';
import { opened } from './object.js';
import { OptionEndpoint } from './option-endpoint.js';

/**
 * A passive endpoint (fi_endpoint(3)): listens for connections of endpoints of type FI_EP_MSG. A request is an event
 * FI_CONNREQ of its EventQueue, with an Info: open an Endpoint with that and accept(), or reject() it here.
 */
export class PassiveEndpoint extends OptionEndpoint {
  /** What it was opened with. */
  readonly info: Info;

  private constructor(handle: number, fabric: Fabric, info: Info) {
    super(handle, 'PassiveEndpoint', [fabric]);
    this.info = info;
  }

  /**
   * `fi_passive_ep(3)`: opens a passive endpoint, with an Info of type FI_EP_MSG.
   *
   * @throws FabricError with the fi_errno of the call.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  static async open(fabric: Fabric, info: Info): Promise<PassiveEndpoint> {
    if (!(fabric instanceof Fabric)) throw typeError('fabric', fabric, 'a Fabric');
    const native = nativeInfo(info);
    const answer = addon().openPassiveEndpoint(fabric.handle, native);
    return new PassiveEndpoint(await opened(answer, 'fi_passive_ep', info.provider), fabric, info);
  }

  /**
   * `fi_pep_bind(3)`: binds the queue that tells of requests. It cannot be closed before the endpoint.
   *
   * @throws RangeError for an EventQueue of another Fabric.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  bind(events: EventQueue): void {
    if (!(events instanceof EventQueue)) throw typeError('events', events, 'an EventQueue');
    this.parents[0].checkOwns('events', events);
    check(addon().bindPassiveEndpoint(this.handle, events.handle), 'fi_pep_bind', 'the PassiveEndpoint');
    events.attach(this);
  }

  /**
   * `fi_control(3)` with FI_BACKLOG: how many requests may wait; before listen().
   *
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider cannot be told.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
   */
  setBacklog(requests: number): void {
    this.control(FI_BACKLOG, BigInt(checkInteger('requests', requests, 0, 2 ** 31 - 1)));
  }

  /**
   * `fi_listen(3)`: begins to listen.
   *
   * @throws FabricError FI_ENOEQ where no EventQueue is bound; FI_EADDRINUSE where the port is taken.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cm.3.html
   */
  async listen(): Promise<void> {
    check(await addon().listen(this.handle), 'fi_listen', 'the PassiveEndpoint');
  }

  /**
   * `fi_getname(3)`: the address that peers connect to. Final after listen().
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cm.3.html
   */
  getName(): Uint8Array {
    const result = addon().passiveEndpointName(this.handle);
    if (typeof result === 'number') throw statusError(result, 'fi_getname');
    return result;
  }

  /**
   * `fi_reject(3)`: refuses a request. The peer's EventQueue tells with FI_ECONNREFUSED.
   *
   * @throws FabricError FI_EOPBADSTATE where the Info has no request, or one that was accepted or rejected.
   * @param request - The Info of the FI_CONNREQ; of no use afterwards.
   * @param data - Bytes for the peer, which it sees with the error where the provider passes them on.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cm.3.html
   */
  async reject(request: Info, data: Uint8Array = new Uint8Array(0)): Promise<void> {
    const answer = addon().reject(this.handle, nativeInfo(request), checkBytes('data', data));
    check(await answer, 'fi_reject', 'the PassiveEndpoint');
  }
}
