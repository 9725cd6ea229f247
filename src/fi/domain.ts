// fi_domain(3): a NIC as seen by the program; everything that moves data belongs to one.
import { Fabric, nativeInfo } from './fabric.js';
import { typeError } from './errors.js';
import type { Info } from './info.js';
import { addon } from './library.js';
import { FabricObject, opened } from './object.js';

/** A domain: one NIC, or one software device, opened (fi_domain(3)). */
export class Domain extends FabricObject {
  /** What it was opened with. */
  readonly info: Info;

  private constructor(handle: number, fabric: Fabric, info: Info) {
    super(handle, 'Domain', [fabric]);
    this.info = info;
  }

  /**
   * `fi_domain(3)`: opens the domain of an Info on its fabric.
   *
   * @throws FabricError with the fi_errno of the call.
   */
  static async open(fabric: Fabric, info: Info): Promise<Domain> {
    if (!(fabric instanceof Fabric)) throw typeError('fabric', fabric, 'a Fabric');
    const handle = await opened(
      addon().openDomain(fabric.handle, nativeInfo(info)),
      'fi_domain',
      info.domainName,
    );
    return new Domain(handle, fabric, info);
  }
}
