/**
 * `libfabric/testing`: for programs' own tests. The software EFA devices that `libfabric softefa` runs a program on, and what
 * goes wrong on them.
 *
 * @packageDocumentation
 */
export {
  SoftwareEfaDevice,
  softwareEfaDevices,
  type Cable,
  type EfaFault,
  type EfaOperation,
} from './software-efa.js';
