// Names of fi_errno(3): POSIX names with FI_ in front, and libfabric's own from 256 on.
import { constants } from 'node:os';
import * as errors from './generated/errors.js';

export * from './generated/errors.js';

const names = new Map<number, string>();
for (const [name, value] of Object.entries(constants.errno))
  if (!names.has(value)) names.set(value, `FI_${name}`);

// libfabric's own come last: POSIX has two names for some numbers, and Node's list lacks some.
for (const [name, value] of Object.entries(errors)) if (name !== 'FI_EWOULDBLOCK') names.set(value, name);
names.set(70, 'FI_ECOMM');

/** The C name of a positive fi_errno, such as FI_ENOMEM; FI_E<number> where it has none (fi_errno(3)). */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `FI_E${String(errno)}`;
}
