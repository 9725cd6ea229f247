// fi_profile(3): what a provider counts.
import { Domain } from './domain.js';
import { Endpoint } from './endpoint.js';
import { FI_EINVAL } from './errno.js';
import {
  check,
  checkInteger,
  checkUint64,
  isLacking,
  statusError,
  typeError,
  unsupportedError,
} from './errors.js';
import { addon } from './library.js';
import { enumName, enumValue } from './names.js';
import { FabricObject } from './object.js';

// As native/profile.cc numbers them.
const RESET = 0;
const START_READS = 1;
const END_READS = 2;

/** A variable or an event of a Profile (struct fi_profile_desc). */
export interface ProfileEntry {
  /** Its number: one of libfabric's, such as FI_VAR_UNEXP_MSG_CNT, or a provider's own. */
  readonly id: number;
  /** The provider's name of it. */
  readonly name: string;
  /** What it is, in the provider's words. */
  readonly description: string;
  /** A C name of enum fi_datatype; undefined for a structure of libfabric's. */
  readonly datatype: string | undefined;
  /** Of its value, in bytes. */
  readonly size: number;
  /** The provider's own. */
  readonly flags: bigint;
}

/**
 * What a provider counts of a Domain or an Endpoint (fi_profile(3), libfabric 2.0 and later). Of the providers only tcp and
 * verbs have any, in builds of libfabric that were configured for it.
 */
export class Profile extends FabricObject {
  private constructor(handle: number, of: Domain | Endpoint) {
    super(handle, 'Profile', [of]);
  }

  /**
   * `fi_profile_open(3)`: opens the profile of a Domain or an Endpoint. It closes by `fi_profile_close(3)`.
   *
   * @param flags - The provider's own; default none.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider has none.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_profile.3.html
   */
  static async open(of: Domain | Endpoint, flags = 0n): Promise<Profile> {
    if (!(of instanceof Domain) && !(of instanceof Endpoint))
      throw typeError('of', of, 'a Domain or an Endpoint');
    const status = await addon().openProfile(of.handle, checkUint64('flags', flags));
    // efa calls a name that it does not know an invalid argument.
    if (isLacking(status) || status === -FI_EINVAL)
      throw unsupportedError('the provider has no profiles of it', 'fi_profile_open');
    return new Profile(check(status, 'fi_profile_open', 'the Domain or the Endpoint'), of);
  }

  #list(events: boolean, call: string): ProfileEntry[] {
    const rows = addon().profileList(this.handle, events);
    if (typeof rows === 'number') throw statusError(rows, call, 'the Profile');
    return rows.map(([id, isDefined, datatype, flags, size, name, description]) => ({
      ...{ id, name, description, size, flags },
      datatype: isDefined ? undefined : enumName('datatype', datatype),
    }));
  }

  /**
   * `fi_profile_query_vars(3)`: the variables that there are.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_profile.3.html
   */
  variables(): ProfileEntry[] {
    return this.#list(false, 'fi_profile_query_vars');
  }

  /**
   * `fi_profile_query_events(3)`: the events that change them. Nobody is called back (fi_profile_register_callback).
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_profile.3.html
   */
  events(): ProfileEntry[] {
    return this.#list(true, 'fi_profile_query_events');
  }

  /**
   * `fi_profile_read_u64(3)`: the value of a variable of datatype FI_UINT64.
   *
   * @param variable - A C name such as FI_VAR_UNEXP_MSG_CNT, or an `id` of variables().
   * @throws FabricError FI_EINVAL for one that the provider does not have.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_profile.3.html
   */
  readU64(variable: string | number): bigint {
    const id = checkInteger('variable', enumValue('profileVariable', variable, 'variable'), 0, 2 ** 31 - 1);
    const value = addon().readProfile(this.handle, id);
    if (typeof value === 'number') throw statusError(value, 'fi_profile_read_u64', `variable ${String(id)}`);
    return value;
  }

  #change(what: number, flags: bigint, call: string): void {
    check(addon().changeProfile(this.handle, what, checkUint64('flags', flags)), call, 'the Profile');
  }

  /**
   * `fi_profile_reset(3)`: starts again, with flags of the provider's own.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_profile.3.html
   */
  reset(flags = 0n): void {
    this.#change(RESET, flags, 'fi_profile_reset');
  }

  /**
   * `fi_profile_start_reads(3)`: from now on readU64() answers what is true now, so that several values belong together.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_profile.3.html
   */
  startReads(flags = 0n): void {
    this.#change(START_READS, flags, 'fi_profile_start_reads');
  }

  /**
   * `fi_profile_end_reads(3)`: ends that.
   *
   * @see https://ofiwg.github.io/libfabric/main/man/fi_profile.3.html
   */
  endReads(flags = 0n): void {
    this.#change(END_READS, flags, 'fi_profile_end_reads');
  }
}
