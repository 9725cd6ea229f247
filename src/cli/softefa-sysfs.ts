/** What the efa provider reads of its devices in sysfs, in a folder that SYSFS_PATH names. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface SoftwareDevice {
  /** As udev names an EFA device, by its place on the bus. */
  readonly name: string;
  /** PCI address. */
  readonly address: string;
  readonly numaNode: number;
}

/** The slot of the first, as on the smallest EFA instances. */
const FIRST_SLOT = 6;

export function devicesOf(count: number): readonly SoftwareDevice[] {
  return Array.from({ length: count }, (_, index) => {
    const slot = FIRST_SLOT + index;
    return {
      name: `rdmap0s${slot}`,
      address: `0000:00:${slot.toString(16).padStart(2, '0')}.0`,
      // The first half is near the first processor, as on machines that have several of both.
      numaNode: count > 1 && index >= count / 2 ? 1 : 0,
    };
  });
}

/** Where a device's NIC writes what it counts. */
export const countersOf = (sysfs: string, name: string): string =>
  join(sysfs, `class/infiniband/${name}/ports/1/hw_counters`);

/** Answers the folder that stands for /sys. */
export function writeSysfs(folder: string, devices: readonly SoftwareDevice[], hasRdma: boolean): string {
  const sysfs = join(folder, 'sys');
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(sysfs, path)), { recursive: true });
    writeFileSync(join(sysfs, path), `${text}\n`);
  };
  const link = (path: string, target: string): void => {
    mkdirSync(dirname(join(sysfs, path)), { recursive: true });
    symlinkSync(join(sysfs, target), join(sysfs, path));
  };
  write('class/infiniband_verbs/abi_version', '6');
  mkdirSync(join(sysfs, 'bus/pci/drivers/efa'), { recursive: true });
  for (const { name, address, numaNode } of devices) {
    const device = `devices/pci0000:00/${address}`;
    write(`${device}/numa_node`, String(numaNode));
    write(`${device}/vendor`, '0x1d0f');
    write(`${device}/device`, hasRdma ? '0xefa1' : '0xefa0');
    link(`${device}/driver`, 'bus/pci/drivers/efa');
    link(`bus/pci/devices/${address}`, device);
    link(`class/infiniband/${name}/device`, device);
    mkdirSync(countersOf(sysfs, name), { recursive: true });
  }
  return sysfs;
}
