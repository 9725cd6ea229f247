// Names of fi_errno(3): POSIX names with FI_ in front, and libfabric's own from 256 on.
import { constants } from 'node:os';

const names = new Map<number, string>();
for (const [name, value] of Object.entries(constants.errno))
  if (!names.has(value)) names.set(value, `FI_${name}`);

// POSIX has two names for some numbers; libfabric's is the first.
names.set(constants.errno.EAGAIN, 'FI_EAGAIN');
names.set(constants.errno.EOPNOTSUPP, 'FI_EOPNOTSUPP');
// Not in Node's list.
for (const [name, value] of Object.entries({
  FI_EREMOTEIO: 121,
  FI_EKEYREJECTED: 129,
  FI_ECOMM: 70,
  FI_ESHUTDOWN: 108,
}))
  names.set(value, name);

const own = [
  'FI_EOTHER',
  'FI_ETOOSMALL',
  'FI_EOPBADSTATE',
  'FI_EAVAIL',
  'FI_EBADFLAGS',
  'FI_ENOEQ',
  'FI_EDOMAIN',
  'FI_ENOCQ',
  'FI_ECRC',
  'FI_ETRUNC',
  'FI_ENOKEY',
  'FI_ENOAV',
  'FI_EOVERRUN',
  'FI_ENORX',
  'FI_ENOMR',
  'FI_EFIREWALLADDR',
];
own.forEach((name, index) => names.set(256 + index, name));

/** The C name of a positive fi_errno, such as FI_ENOMEM; FI_E<number> where it has none (fi_errno(3)). */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `FI_E${String(errno)}`;
}

export const FI_EAGAIN = constants.errno.EAGAIN;
export const FI_ECANCELED = constants.errno.ECANCELED;
export const FI_ENODATA = constants.errno.ENODATA;
export const FI_ENOSYS = constants.errno.ENOSYS;
export const FI_ENOENT = constants.errno.ENOENT;
export const FI_EBUSY = constants.errno.EBUSY;
export const FI_ENOSPC = constants.errno.ENOSPC;
export const FI_ETRUNC = 265;
