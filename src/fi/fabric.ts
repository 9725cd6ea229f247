// fi_fabric(3): the network that domains and event queues belong to.
import { types } from 'node:util';
import { keepFromChildren } from './descriptors.js';
import { typeError } from './errors.js';
import type { Info } from './info.js';
import { addon } from './library.js';
import { FabricObject, opened } from './object.js';

/** @internal The fi_info behind an Info, or a TypeError. */
export function nativeInfo(info: Info): object {
  const native = (info as Partial<Info> | undefined)?.raw?.native;
  if (native === undefined || !types.isExternal(native))
    throw typeError('info', info, 'an Info of getInfo()');
  return native;
}

/** A fabric: what can reach one another through one provider (fi_fabric(3)). */
export class Fabric extends FabricObject {
  /** What it was opened with. */
  readonly info: Info;

  private constructor(handle: number, info: Info) {
    super(handle, 'Fabric', []);
    this.info = info;
  }

  /**
   * `fi_fabric(3)`: opens the fabric of an Info.
   *
   * @throws FabricError with the fi_errno of the call.
   */
  static async open(info: Info): Promise<Fabric> {
    const handle = await opened(addon().openFabric(nativeInfo(info)), 'fi_fabric', info.provider);
    keepFromChildren();
    return new Fabric(handle, info);
  }
}
