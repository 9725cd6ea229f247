// Variables of the environment over which the efa provider ends the process (abort()), in one libfabric or another: looked
// at before the first fi_getinfo, which reads them. Refused whatever the version, and whether there is a device or not:
// what runs here may be started elsewhere.
import { environmentError } from './errors.js';
import { addon, libraryVersion } from './library.js';

/** What is wrong with a value, and what to do; undefined: nothing. */
type Check = (value: string, read: Read) => readonly [problem: string, remedy: string] | undefined;
type Read = (name: string) => string | undefined;

const UNSET = 'Unset it';

/** As libfabric reads a boolean; undefined: it cannot. */
function truth(value: string | undefined): boolean | undefined {
  if (/^(1|true|yes|on)$/i.test(value ?? '')) return true;
  return /^(0|false|no|off)$/i.test(value ?? '') ? false : undefined;
}

/** As strtol(3) does, which reads what is no number as 0. */
function integer(value: string): number {
  const [, sign, digits] = /^\s*([+-]?)(0x[\da-f]+|\d+)/i.exec(value) ?? [];
  if (digits === undefined) return 0;
  const size = /^0\d/.test(digits) ? parseInt(digits, 8) : Number(digits);
  return sign === '-' ? -size : size;
}

const gone: Check = () => ['no longer exists, and its mere presence ends the process', UNSET];

const checks: Readonly<Record<string, Check>> = {
  FI_EFA_MTU_SIZE: gone,
  FI_EFA_TX_IOV_LIMIT: gone,
  FI_EFA_RX_IOV_LIMIT: gone,
  FI_EFA_SHM_MAX_MEDIUM_SIZE: gone,
  FI_EFA_TX_MIN_CREDITS: (value) =>
    integer(value) > 0 ? undefined : [`is '${value}', not above 0`, `${UNSET}, or give it a positive number`],
  FI_EFA_IFACE: (value) =>
    value === '' ? ['is empty', `${UNSET}, or name devices as in /sys/class/infiniband`] : undefined,
  FI_EFA_USE_DEVICE_RDMA: (value) => {
    const wanted = truth(value);
    if (wanted === undefined) return [`is '${value}', no boolean`, `${UNSET}, or give it 0 or 1`];
    if (wanted && addon().efaReadsRemoteMemory() === false)
      return [
        `is '${value}', and the EFA device of this machine has no RDMA reads`,
        `${UNSET}, or give it 0`,
      ];
    return undefined;
  },
  FI_EFA_USE_HUGE_PAGE: (value, read) => {
    if (truth(value) !== true || !libraryVersion().forkNeedsSupport) return undefined;
    const asked =
      truth(read('FI_EFA_FORK_SAFE')) === true ||
      ['RDMAV_FORK_SAFE', 'IBV_FORK_SAFE'].some((name) => read(name) !== undefined);
    if (!asked) return undefined;
    return [
      `is '${value}', and on this kernel (before 5.13), or with this rdma-core (before 35), huge pages and child ` +
        'processes exclude each other',
      `${UNSET}; or set FI_EFA_FORK_SAFE=0 and start no child process`,
    ];
  },
};

let isChecked = false;

/**
 * @internal Before fi_getinfo(3). Once it was called, a change of the environment changes nothing.
 *
 * @throws FabricError ERR_FABRIC_ENVIRONMENT, which names every variable that has to go.
 */
export function checkEnvironment(): void {
  if (isChecked) return;
  const read: Read = (name) => addon().environmentVariable(name);
  const problems: string[] = [];
  const remedies = new Set<string>();
  for (const [name, check] of Object.entries(checks)) {
    const value = read(name);
    const found = value === undefined ? undefined : check(value, read);
    if (found === undefined) continue;
    problems.push(`${name} ${found[0]}`);
    remedies.add(found[1].replace(UNSET, `Unset ${name}`));
  }
  if (problems.length > 0)
    throw environmentError(
      `libfabric's efa provider would end this process: ${problems.join('; ')}`,
      [...remedies].join('. '),
    );
  isChecked = true;
}
