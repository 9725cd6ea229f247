// fi_cm(3): connections of endpoints of type FI_EP_MSG.
import {
  STATUS_CLOSED,
  STATUS_UNSUPPORTED,
  check,
  checkAddress,
  checkBytes,
  closedError,
  rangeError,
  statusError,
  unsupportedError,
} from './errors.js';
import { addon } from './library.js';
import { CollectiveEndpoint } from './collective-endpoint.js';
import { problemOfAddress } from './socket-address.js';

const NOTHING = new Uint8Array(0);

function checkConnection(status: number, call: string): void {
  if (status === STATUS_CLOSED) throw closedError('the Endpoint, or it is not enabled: it');
  if (status === STATUS_UNSUPPORTED)
    throw unsupportedError('only endpoints of type FI_EP_MSG have connections', call);
  check(status, call);
}

/**
 * The calls of an Endpoint of type FI_EP_MSG (fi_cm(3)): it has one peer, no AddressVector, and the `peer` of its data calls
 * means nothing. Bind and enable it, connect or accept, and wait for FI_CONNECTED on its EventQueue before sending.
 */
export abstract class ConnectionEndpoint extends CollectiveEndpoint {
  /**
   * `fi_connect(3)`: asks the peer that listens at `address` for a connection. The EventQueue tells what came of it:
   * FI_CONNECTED with the peer's data, or an error such as FI_ECONNREFUSED.
   *
   * @param address - The bytes of the PassiveEndpoint's getName(); default info.destinationAddress.
   * @param data - Bytes for the peer, which it sees with the request.
   * @throws FabricError ERR_FABRIC_ADDRESS for bytes that are no address; FI_EMSGSIZE for more data than the provider
   *   takes; FI_EOPBADSTATE where it was called before, or the endpoint was opened to accept; ERR_FABRIC_UNSUPPORTED
   *   where it is of another type.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cm.3.html
   */
  async connect(address?: Uint8Array, data: Uint8Array = NOTHING): Promise<void> {
    const bytes = checkBytes('address', address ?? this.info.destinationAddress);
    if (bytes.byteLength === 0) throw rangeError('address.length', 0, 'the length of an address');
    checkBytes('data', data);
    checkAddress('fi_connect', problemOfAddress(this.info.addressFormat, bytes));
    checkConnection(await addon().connect(this.handle, bytes, data), 'fi_connect');
  }

  /**
   * `fi_accept(3)`: accepts the request that the endpoint was opened for, with the Info of its FI_CONNREQ. The EventQueue
   * tells with FI_CONNECTED when the connection is there.
   *
   * @param data - Bytes for the peer, which it sees with its FI_CONNECTED.
   * @throws FabricError as connect().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cm.3.html
   */
  async accept(data: Uint8Array = NOTHING): Promise<void> {
    checkConnection(await addon().accept(this.handle, checkBytes('data', data)), 'fi_accept');
  }

  /**
   * `fi_shutdown(3)`: ends the connection. The peer's EventQueue tells with FI_SHUTDOWN.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cm.3.html
   */
  async shutdown(): Promise<void> {
    checkConnection(await addon().shutDownEndpoint(this.handle), 'fi_shutdown');
  }

  /**
   * `fi_getpeer(3)`: the address of the peer, once FI_CONNECTED was read.
   *
   * @throws FabricError FI_ENOTCONN before that.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cm.3.html
   */
  getPeer(): Uint8Array {
    const result = addon().endpointPeer(this.handle);
    if (typeof result !== 'number') return result;
    if (result === STATUS_UNSUPPORTED) checkConnection(result, 'fi_getpeer');
    throw statusError(result, 'fi_getpeer', result === STATUS_CLOSED ? 'the Endpoint' : '');
  }
}
