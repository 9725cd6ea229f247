// What libfabric's headers compute: no call is made.
import * as C from './constants.js';
import { checkInteger } from './errors.js';

/**
 * `fi_tc_dscp_set(3)`: the traffic class of a differentiated services code point.
 *
 * @param dscp - 0 to 63.
 * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
 */
export function tcDscpSet(dscp: number): number {
  return checkInteger('dscp', dscp, 0, 63) | C.FI_TC_DSCP;
}

/**
 * `fi_tc_dscp_get(3)`: the differentiated services code point of a traffic class; 0 where the class is no such.
 *
 * @see https://ofiwg.github.io/libfabric/main/man/fi_endpoint.3.html
 */
export function tcDscpGet(trafficClass: number): number {
  const value = checkInteger('trafficClass', trafficClass, 0, 2 ** 32 - 1);
  return (value & C.FI_TC_DSCP) === 0 ? 0 : value & 0xff;
}

/**
 * `fi_tag_mpi(3)`: a tag in the format FI_TAG_MPI of libfabric 2.
 *
 * @param tag - MPI's tag, a signed integer of 32 bits.
 * @param payload - What kind of message it is, 0 to 255.
 * @see https://ofiwg.github.io/libfabric/main/man/fi_tagged.3.html
 */
export function tagMpi(tag: number, payload: number): bigint {
  const low = BigInt.asUintN(32, BigInt(checkInteger('tag', tag, -(2 ** 31), 2 ** 31 - 1)));
  return (BigInt(checkInteger('payload', payload, 0, 255)) << 32n) | low;
}

/**
 * `fi_hmem_ze_device(3)`: a Level Zero device's number in a memory registration.
 *
 * @see https://ofiwg.github.io/libfabric/main/man/fi_mr.3.html
 */
export function hmemZeDevice(driverIndex: number, deviceIndex: number): number {
  return (
    (checkInteger('driverIndex', driverIndex, 0, 0x7fff) << 16) |
    checkInteger('deviceIndex', deviceIndex, 0, 0xffff)
  );
}
