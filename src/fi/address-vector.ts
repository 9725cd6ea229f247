// fi_av(3): the addresses that an endpoint can send to.
import { Domain } from './domain.js';
import { FI_EADDRNOTAVAIL, FI_EINVAL } from './errno.js';
import {
  check,
  checkAddress,
  checkBytes,
  checkInteger,
  checkUint64,
  isLacking,
  rangeError,
  statusError,
  typeError,
  unsupportedError,
} from './errors.js';
import { addon } from './library.js';
import { enumValue } from './names.js';
import { FabricObject, opened } from './object.js';
import { problemOfAddress } from './socket-address.js';

const MAX_ADDRESS = 2 ** 31 - 1;
// Larger numbers stand for addresses whose fi_addr_t is none of ours (native/wide_addresses.h).
const MAX_USER_ID = 2n ** 30n - 1n;

function checkText(argument: string, value: unknown): string {
  if (typeof value !== 'string') throw typeError(argument, value, 'a string');
  if (value === '' || value.includes('\0')) throw rangeError(argument, value, 'text without zero bytes');
  return value;
}

function serviceText(service: unknown): string {
  if (typeof service === 'number') return String(checkInteger('service', service, 1, 65_535));
  return checkText('service', service);
}

function checkInserted(status: number, call: string): number {
  if (isLacking(status)) throw unsupportedError(`the provider has no ${call}`, call);
  return check(status, call);
}

/** How an AddressVector is opened (struct fi_av_attr). */
export interface AddressVectorOptions {
  /** How many addresses to expect; default 0, the provider's own idea. It grows by itself (count). */
  count?: number | undefined;
  /**
   * 'FI_AV_TABLE', the default: addresses are numbered from 0 in the order of insertion. 'FI_AV_MAP': they are what the
   * provider makes of them, where it still has that type (type).
   */
  type?: 'FI_AV_TABLE' | 'FI_AV_MAP' | undefined;
  /**
   * How many bits of an address say which receive context of a ScalableEndpoint is meant, 0 to 8: contexts up to 2 to that
   * power. Default 0: always the first (rx_ctx_bits).
   */
  receiveContextBits?: number | undefined;
}

/**
 * An address vector (fi_av(3)). Its addresses are whole numbers here, whatever its type: the fi_addr_t itself where that is
 * below 2^30, otherwise a number that stands for it, from 2^30 on. fabricAddress() tells the fi_addr_t.
 */
export class AddressVector extends FabricObject {
  readonly #format: string;

  private constructor(handle: number, domain: Domain) {
    super(handle, 'AddressVector', [domain]);
    this.#format = domain.info.addressFormat;
  }

  /**
   * `fi_av_open(3)`: opens an address vector.
   *
   * @throws FabricError FI_EINVAL or another fi_errno where the Domain was opened for another type, or the provider has none
   *   with context bits.
   */
  static async open(domain: Domain, options: AddressVectorOptions = {}): Promise<AddressVector> {
    if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
    const count = checkInteger('options.count', options.count ?? 0, 0, 1 << 24);
    const { type = 'FI_AV_TABLE' } = options;
    if (type !== 'FI_AV_TABLE' && type !== 'FI_AV_MAP')
      throw rangeError('options.type', type, "'FI_AV_TABLE' or 'FI_AV_MAP'");
    const bits = checkInteger('options.receiveContextBits', options.receiveContextBits ?? 0, 0, 8);
    const number = enumValue('addressVectorType', type, 'options.type');
    const answer = addon().openAddressVector(domain.handle, count, number, bits);
    return new AddressVector(await opened(answer, 'fi_av_open'), domain);
  }

  /**
   * `fi_av_insert(3)`: inserts one address, the bytes of the peer's fi_getname(3).
   *
   * @returns The address to send to. Inserting the same bytes again gives the same or a new one, as the provider likes.
   * @throws FabricError ERR_FABRIC_ADDRESS for bytes that are no address of this domain's format, FI_EADDRNOTAVAIL or
   *   another fi_errno where the provider refuses them.
   */
  insert(address: Uint8Array): number {
    const bytes = checkBytes('address', address);
    if (bytes.byteLength === 0)
      throw rangeError('address.length', 0, 'the length of an address of this provider');
    checkAddress('fi_av_insert', problemOfAddress(this.#format, bytes));
    return check(addon().insertAddress(this.handle, bytes), 'fi_av_insert');
  }

  /**
   * `fi_av_insert(3)` for many addresses, off the JavaScript thread, one at a time, so that one bad address does not
   * keep out the others.
   *
   * @returns For each an address, or a negative fi_errno.
   */
  async insertMany(addresses: readonly Uint8Array[]): Promise<number[]> {
    const good: Uint8Array[] = [];
    const isGood = addresses.map((address, index) => {
      const bytes = checkBytes(`addresses[${String(index)}]`, address);
      const refused = bytes.byteLength === 0 || problemOfAddress(this.#format, bytes) !== undefined;
      if (!refused) good.push(bytes);
      return !refused;
    });
    const inserted = await this.#insertGood(good);
    let next = 0;
    return isGood.map((ok) => (ok ? inserted[next++] : -FI_EADDRNOTAVAIL));
  }

  async #insertGood(addresses: readonly Uint8Array[]): Promise<number[]> {
    if (addresses.length === 0) return [];
    // Addresses of text differ in length; zeros behind a shorter one end it.
    const stride = addresses.reduce((longest, { byteLength }) => Math.max(longest, byteLength), 0);
    const all = new Uint8Array(stride * addresses.length);
    addresses.forEach((address, index) => {
      all.set(address, index * stride);
    });
    const result = await addon().insertAddresses(this.handle, all, stride);
    if (typeof result === 'number') throw statusError(result, 'fi_av_insert', 'the AddressVector');
    return result;
  }

  /**
   * `fi_av_insertsvc(3)`: inserts the address of a node and a service, off the JavaScript thread, since a name server may be
   * asked.
   *
   * @param node - A host name or address.
   * @param service - A port, or the name of a service.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider's addresses have no such names; the fi_errno where it finds
   *   none.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_av.3.html
   */
  async insertService(node: string, service: string | number): Promise<number> {
    const status = await addon().insertService(this.handle, checkText('node', node), serviceText(service));
    return checkInserted(status, 'fi_av_insertsvc');
  }

  /**
   * `fi_av_insertsym(3)`: inserts the addresses of several nodes and services that are numbered on from the first.
   *
   * @param node - The first node, which ends in a number, such as '10.0.0.1' or 'node1'.
   * @param nodes - How many.
   * @param service - The first service, a port.
   * @param services - How many on each node.
   * @returns For each an address, or a negative fi_errno: all services of the first node, then those of the next. Provider
   *   sockets tells of the last only, in the place of the first.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider's addresses have no such names.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_av.3.html
   */
  async insertSymmetric(
    node: string,
    nodes: number,
    service: string | number,
    services: number,
  ): Promise<number[]> {
    checkInteger('nodes', nodes, 1, 65_536);
    checkInteger('services', services, 1, Math.floor(65_536 / nodes));
    const first = serviceText(service);
    const answer = await addon().insertSymmetric(
      this.handle,
      checkText('node', node),
      nodes,
      first,
      services,
    );
    if (typeof answer !== 'number') return answer;
    checkInserted(answer, 'fi_av_insertsym');
    return [];
  }

  /**
   * `fi_av_remove(3)`: removes an address. The provider may drop what is outstanding to it without a completion: settle
   * that first. On efa never remove the address of a process that may have been restarted (the same bytes up to the 18th):
   * up to libfabric 2.6 at least the provider forgets the later one, and crashes when the vector closes.
   */
  remove(address: number): void {
    checkInteger('address', address, 0, MAX_ADDRESS);
    check(addon().removeAddress(this.handle, address), 'fi_av_remove', `address ${String(address)}`);
  }

  /** `fi_av_lookup(3)`: the bytes of an address. */
  lookup(address: number): Uint8Array {
    checkInteger('address', address, 0, MAX_ADDRESS);
    const result = addon().lookupAddress(this.handle, address);
    if (typeof result === 'number') throw statusError(result, 'fi_av_lookup', `address ${String(address)}`);
    return result;
  }

  /**
   * `fi_av_insert_auth_key(3)`: inserts an authorization key, of libfabric 2.
   *
   * @returns An address that stands for every peer with this key.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has no keys, or libfabric is older.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_av.3.html
   */
  insertAuthKey(key: Uint8Array): number {
    const bytes = checkBytes('key', key);
    if (bytes.byteLength === 0) throw rangeError('key.length', 0, 'the length of a key');
    return checkInserted(addon().insertAuthKey(this.handle, bytes), 'fi_av_insert_auth_key');
  }

  /**
   * `fi_av_lookup_auth_key(3)`: the authorization key of an address.
   *
   * @throws as insertAuthKey().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_av.3.html
   */
  lookupAuthKey(address: number): Uint8Array {
    checkInteger('address', address, 0, MAX_ADDRESS);
    const result = addon().lookupAuthKey(this.handle, address);
    if (typeof result !== 'number') return result;
    checkInserted(result, 'fi_av_lookup_auth_key');
    throw statusError(result, 'fi_av_lookup_auth_key');
  }

  /**
   * `fi_av_set_user_id(3)`: sets the number by which completions name the sender at an address, of libfabric 2.
   *
   * @param userId - Below 2^30, since Completions.source() tells it.
   * @param flags - FI_AUTH_KEY where the address is of an authorization key; default 0n.
   * @throws as insertAuthKey().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_av.3.html
   */
  setUserId(address: number, userId: bigint | number, flags = 0n): void {
    checkInteger('address', address, 0, MAX_ADDRESS);
    const id = checkUint64('userId', userId, MAX_USER_ID);
    const status = addon().setUserId(this.handle, address, id, checkUint64('flags', flags));
    checkInserted(status, 'fi_av_set_user_id');
  }

  /** The fi_addr_t that libfabric has for an address. No C call. */
  fabricAddress(address: number): bigint {
    checkInteger('address', address, 0, MAX_ADDRESS);
    const result = addon().fabricAddress(this.handle, address);
    if (typeof result === 'number') throw statusError(result, 'fi_addr_t', `address ${String(address)}`);
    return result;
  }

  /**
   * `fi_rx_addr(3)`: the address of one receive context of a peer's ScalableEndpoint. It is removed with the peer's.
   *
   * @param address - The peer's, as insert() gave it.
   * @param index - Of the context, below 2 to the power of options.receiveContextBits.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_av.3.html
   */
  receiveContext(address: number, index: number): number {
    checkInteger('address', address, 0, MAX_ADDRESS);
    checkInteger('index', index, 0, 255);
    const number = addon().receiveContextAddress(this.handle, address, index);
    if (number === -FI_EINVAL)
      throw rangeError('index', index, 'below 2 to the power of options.receiveContextBits');
    return check(number, 'fi_rx_addr', `address ${String(address)}`);
  }

  /** `fi_av_straddr(3)`: an address's bytes as readable text, such as 'fi_sockaddr_in://127.0.0.1:4567'. */
  toText(address: Uint8Array): string {
    const result = addon().addressText(this.handle, checkBytes('address', address));
    if (typeof result === 'number') throw statusError(result, 'fi_av_straddr');
    return result;
  }
}
