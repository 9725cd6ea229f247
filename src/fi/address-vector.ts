// fi_av(3): the addresses that an endpoint can send to.
import { Domain } from './domain.js';
import { check, checkBytes, checkInteger, rangeError, statusError, typeError } from './errors.js';
import { addon } from './library.js';
import { FabricObject, opened } from './object.js';

/** An address vector of type FI_AV_TABLE: its addresses (fi_addr_t) are small whole numbers (fi_av(3)). */
export class AddressVector extends FabricObject {
  private constructor(handle: number, domain: Domain) {
    super(handle, 'AddressVector', [domain]);
  }

  /**
   * `fi_av_open(3)`: opens an address vector.
   *
   * @param options - `count`: how many addresses to expect; default 0, the provider's own idea. It grows by itself.
   */
  static async open(domain: Domain, options: { count?: number } = {}): Promise<AddressVector> {
    if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
    const count = checkInteger('options.count', options.count ?? 0, 0, 1 << 24);
    const handle = await opened(addon().openAddressVector(domain.handle, count), 'fi_av_open');
    return new AddressVector(handle, domain);
  }

  /**
   * `fi_av_insert(3)`: inserts one address, the bytes of the peer's fi_getname(3).
   *
   * @returns The address to send to. Inserting the same bytes again gives the same or a new one, as the provider likes.
   * @throws FabricError FI_EADDRNOTAVAIL or another fi_errno where the provider refuses the bytes.
   */
  insert(address: Uint8Array): number {
    const bytes = checkBytes('address', address);
    if (bytes.byteLength === 0)
      throw rangeError('address.length', 0, 'the length of an address of this provider');
    return check(addon().insertAddress(this.handle, bytes), 'fi_av_insert');
  }

  /**
   * `fi_av_insert(3)` for many addresses, off the JavaScript thread, one at a time, so that one bad address does not
   * keep out the others.
   *
   * @param addresses - All of one length, as all addresses of one provider are.
   * @returns For each an address, or a negative fi_errno.
   */
  async insertMany(addresses: readonly Uint8Array[]): Promise<number[]> {
    if (addresses.length === 0) return [];
    const length = checkBytes('addresses[0]', addresses[0]).byteLength;
    const all = new Uint8Array(length * addresses.length);
    addresses.forEach((address, index) => {
      const name = `addresses[${String(index)}]`;
      if (checkBytes(name, address).byteLength !== length)
        throw rangeError(`${name}.length`, address.byteLength, `${String(length)}, as the first address's`);
      all.set(address, index * length);
    });
    const result = await addon().insertAddresses(this.handle, all, length);
    if (typeof result === 'number') throw statusError(result, 'fi_av_insert');
    return result;
  }

  /**
   * `fi_av_remove(3)`: removes an address. The provider may drop what is outstanding to it without a completion: settle
   * that first.
   */
  remove(address: number): void {
    check(addon().removeAddress(this.handle, address), 'fi_av_remove', `address ${String(address)}`);
  }

  /** `fi_av_lookup(3)`: the bytes of an address. */
  lookup(address: number): Uint8Array {
    const result = addon().lookupAddress(this.handle, address);
    if (typeof result === 'number') throw statusError(result, 'fi_av_lookup', `address ${String(address)}`);
    return result;
  }

  /** `fi_av_straddr(3)`: an address's bytes as readable text, such as 'fi_sockaddr_in://127.0.0.1:4567'. */
  toText(address: Uint8Array): string {
    const result = addon().addressText(this.handle, checkBytes('address', address));
    if (typeof result === 'number') throw statusError(result, 'fi_av_straddr');
    return result;
  }
}
