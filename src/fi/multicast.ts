// fi_cm(3): groups of addresses that one message reaches.
import { FI_COMPLETION, FI_MULTICAST, FI_RECV, FI_SEND } from './constants.js';
import { Endpoint } from './endpoint.js';
import { FI_ENOEQ } from './errno.js';
import {
  checkAddress,
  checkBytes,
  checkInteger,
  isLacking,
  noEventQueueError,
  statusError,
  typeError,
  unsupportedError,
} from './errors.js';
import { addon } from './library.js';
import { type Flags } from './names.js';
import { FabricObject } from './object.js';
import { refusalOf } from './one-sided.js';
import { type Part, putParts } from './parts.js';
import { type MessageOptions, TRANSMIT_FLAGS, checkFlags, putOptions } from './post.js';
import { registers } from './registers.js';
import { problemOfAddress } from './socket-address.js';

// As native/message_vector.cc numbers them.
const HAS_FLAGS = 4;
const MULTICAST = 8;

function joinError(status: number): Error {
  const call = 'fi_join';
  if (isLacking(status))
    return unsupportedError(
      'the provider has no multicast for such an address, or the Endpoint was opened without FI_MULTICAST',
      call,
    );
  if (status === -FI_ENOEQ) return noEventQueueError(call);
  return statusError(status, call, 'the Endpoint, which has to be enabled, or the address');
}

/**
 * A multicast group that an Endpoint has joined (fi_join(3)): what is sent to it reaches all that have. close() leaves it
 * (fi_leave).
 */
export class MulticastGroup extends FabricObject {
  readonly #endpoint: Endpoint;
  readonly #messageVector = addon().messageVector;

  private constructor(handle: number, endpoint: Endpoint, parents: readonly FabricObject[]) {
    super(handle, 'MulticastGroup', parents);
    this.#endpoint = endpoint;
  }

  /**
   * `fi_join(3)`: joins a group. The Endpoint's EventQueue tells by FI_JOIN_COMPLETE, whose source is the group, when that
   * is done, or why it failed.
   *
   * @param endpoint - Enabled, opened with FI_MULTICAST, and with an EventQueue.
   * @param address - The group's, in the endpoint's address format: for FI_SOCKADDR_IN the bytes of struct sockaddr_in.
   * @param flags - FI_SEND to send only, FI_RECV to receive only; default both. Not every provider looks at it.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has no multicast; FI_ENOEQ without an EventQueue.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_cm.3.html
   */
  static async join(endpoint: Endpoint, address: Uint8Array, flags?: Flags): Promise<MulticastGroup> {
    if (!(endpoint instanceof Endpoint)) throw typeError('endpoint', endpoint, 'an Endpoint');
    checkInteger('address.length', checkBytes('address', address).byteLength, 1, 128);
    checkAddress('fi_join', problemOfAddress(endpoint.info.addressFormat, address));
    const bits = checkFlags(flags, FI_SEND | FI_RECV, 'flags');
    const answer = addon().joinMulticast(endpoint.handle, address, bits);
    if (typeof answer === 'number') throw joinError(answer);
    const { boundEvents } = endpoint;
    const group = new MulticastGroup(answer.handle, endpoint, [
      endpoint,
      ...(boundEvents === undefined ? [] : [boundEvents]),
    ]);
    // At once: the event may be read before this call is over.
    boundEvents?.attach(group);
    const status = await answer.opening;
    if (status >= 0) return group;
    group.neverOpened();
    throw joinError(status);
  }

  /**
   * `fi_sendmsg(3)` with FI_MULTICAST, to `fi_mc_addr(3)`: sends the parts as one message to all that have joined. As
   * Endpoint.sendMessage(): false where there is no room now, and a completion of the Endpoint's with this context.
   *
   * @throws RangeError for more parts than info.transmit.iovLimit, and for flags that are none of this call.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_msg.3.html
   */
  sendMessage(parts: readonly Part[], context: number, options?: MessageOptions): boolean {
    const endpoint = this.#endpoint;
    putParts('parts', parts, { least: 1, most: endpoint.info.transmit.iovLimit });
    putOptions(endpoint, options, TRANSMIT_FLAGS | FI_COMPLETION);
    const { call, wide } = registers();
    wide[5] = (wide[5] ?? 0n) | FI_MULTICAST;
    call[0] = endpoint.handle;
    call[1] = context;
    call[2] = HAS_FLAGS | MULTICAST;
    call[3] = parts.length;
    call[4] = this.handle;
    this.#messageVector();
    return refusalOf(call[0] | 0, 'fi_sendmsg', 'FI_MULTICAST');
  }
}
