// fi_av_set(3): sets of addresses, whose members make collective operations.
import { AddressVector } from './address-vector.js';
import { FI_EINVAL, FI_ENOSYS } from './errno.js';
import {
  STATUS_UNSUPPORTED,
  check,
  checkInteger,
  rangeError,
  statusError,
  typeError,
  unsupportedError,
} from './errors.js';
import { addon } from './library.js';
import { FabricObject } from './object.js';

const MAX_ADDRESS = 2 ** 31 - 1;
const UNION = 0;
const INTERSECT = 1;
const DIFF = 2;

/** Which addresses a set has at first. */
export interface AddressVectorSetOptions {
  /** The first; default 0. */
  start?: number;
  /** The last; default: none at all, so that the set is empty. Of those that were there when the first set was opened. */
  end?: number;
  /** How far each is from the one before; default 1. */
  stride?: number;
}

/**
 * A set of the addresses of an AddressVector (fi_av_set(3)). A member's rank is its place in `members`, so that whoever is to
 * join has to make the set in the same way. While a group of it is open, it does not change.
 */
export class AddressVectorSet extends FabricObject {
  private constructor(handle: number, addresses: AddressVector) {
    super(handle, 'AddressVectorSet', [addresses]);
  }

  /**
   * `fi_av_set(3)`: opens a set of addresses.
   *
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has no sets; ERR_FABRIC_ADDRESS for an address that is not in
   *   the AddressVector.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_av_set.3.html
   */
  static async open(
    addresses: AddressVector,
    options: AddressVectorSetOptions = {},
  ): Promise<AddressVectorSet> {
    if (!(addresses instanceof AddressVector)) throw typeError('addresses', addresses, 'an AddressVector');
    const start = checkInteger('options.start', options.start ?? 0, 0, MAX_ADDRESS);
    const end = options.end === undefined ? -1 : checkInteger('options.end', options.end, start, MAX_ADDRESS);
    const stride = checkInteger('options.stride', options.stride ?? 1, 1, MAX_ADDRESS);
    const status = await addon().openAvSet(addresses.handle, start, end, stride);
    if (status === STATUS_UNSUPPORTED || status === -FI_ENOSYS)
      throw unsupportedError('the provider has no sets of addresses', 'fi_av_set');
    return new AddressVectorSet(check(status, 'fi_av_set', 'the AddressVector'), addresses);
  }

  #combine(other: AddressVectorSet, how: number, call: string): void {
    if (!(other instanceof AddressVectorSet)) throw typeError('other', other, 'an AddressVectorSet');
    const status = addon().combineAvSets(this.handle, other.handle, how);
    if (status === -FI_EINVAL) throw rangeError('other', other, 'a set of the same AddressVector');
    check(status, call, 'the AddressVectorSet');
  }

  /**
   * `fi_av_set_union(3)`: adds what the other has, behind what is there.
   *
   * @throws FabricError ERR_FABRIC_BUSY while a group of the set is open.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_av_set.3.html
   */
  union(other: AddressVectorSet): void {
    this.#combine(other, UNION, 'fi_av_set_union');
  }

  /**
   * `fi_av_set_intersect(3)`: keeps what the other has too, in the order that it had.
   *
   * @throws FabricError ERR_FABRIC_BUSY while a group of the set is open.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_av_set.3.html
   */
  intersect(other: AddressVectorSet): void {
    this.#combine(other, INTERSECT, 'fi_av_set_intersect');
  }

  /**
   * `fi_av_set_diff(3)`: takes out what the other has; the rest keeps its order.
   *
   * @throws FabricError ERR_FABRIC_BUSY while a group of the set is open.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_av_set.3.html
   */
  diff(other: AddressVectorSet): void {
    this.#combine(other, DIFF, 'fi_av_set_diff');
  }

  #change(address: number, inserts: boolean, call: string): void {
    checkInteger('address', address, 0, MAX_ADDRESS);
    const status = addon().changeAvSet(this.handle, address, inserts);
    if (status === -FI_EINVAL)
      throw rangeError('address', address, inserts ? 'none that the set has' : 'one that the set has');
    check(status, call, `address ${String(address)}`);
  }

  /**
   * `fi_av_set_insert(3)`: adds an address of the AddressVector, as the last.
   *
   * @throws FabricError ERR_FABRIC_ADDRESS for one that is not there; ERR_FABRIC_BUSY while a group of the set is open.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_av_set.3.html
   */
  insert(address: number): void {
    this.#change(address, true, 'fi_av_set_insert');
  }

  /**
   * `fi_av_set_remove(3)`: takes an address out; the rest keeps its order.
   *
   * @throws FabricError ERR_FABRIC_BUSY while a group of the set is open.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_av_set.3.html
   */
  remove(address: number): void {
    this.#change(address, false, 'fi_av_set_remove');
  }

  /** The addresses of the set, by rank. */
  get members(): number[] {
    const members = addon().avSetMembers(this.handle);
    if (typeof members === 'number') throw statusError(members, 'fi_av_set', 'the AddressVectorSet');
    return members;
  }
}

/** What an endpoint has joined with the other members of a set (fi_join_collective(3), fi_mc_addr). */
export class CollectiveGroup extends FabricObject {
  /** The addresses of its members, by rank. */
  readonly members: readonly number[];

  /** @internal */
  constructor(handle: number, set: AddressVectorSet, parents: readonly FabricObject[]) {
    super(handle, 'CollectiveGroup', [set, ...parents]);
    this.members = set.members;
  }
}
