// fi_efa(7): what provider efa offers beyond libfabric's own calls, by fi_open_ops(3).
import * as C from './constants.js';
import { Domain } from './domain.js';
import { check, isLacking, statusError, typeError, unsupportedError } from './errors.js';
import { Fabric } from './fabric.js';
import { addon } from './library.js';
import { MemoryRegion } from './memory-region.js';

/** Which of the card's interconnects carry what reaches a memory region; undefined where the device does not tell. */
export interface EfaMemoryRegion {
  /** Of messages that are received into it (recv_ic_id). */
  readonly receive: number | undefined;
  /** Of RDMA reads into it (rdma_read_ic_id). */
  readonly rdmaRead: number | undefined;
  /** Of peers' RDMA writes into it (rdma_recv_ic_id). */
  readonly rdmaReceive: number | undefined;
}

/**
 * `fi_open_ops(3)` with FI_EFA_DOMAIN_OPS, then `query_mr`: what the device says of a registration.
 *
 * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider is not efa, is older than libfabric 2.0, or the device does
 *   not answer.
 * @see https://ofiwg.github.io/libfabric/main/man/fi_efa.7.html
 */
export function efaQueryMr(domain: Domain, region: MemoryRegion): EfaMemoryRegion {
  if (!(domain instanceof Domain)) throw typeError('domain', domain, 'a Domain');
  if (!(region instanceof MemoryRegion)) throw typeError('region', region, 'a MemoryRegion');
  const answer = addon().efaQueryMemoryRegion(domain.handle, region.handle);
  if (typeof answer === 'number') {
    if (isLacking(answer))
      throw unsupportedError(
        'the provider or its device has no query_mr of FI_EFA_DOMAIN_OPS',
        'fi_open_ops',
      );
    throw statusError(answer, 'query_mr', 'the Domain or the MemoryRegion');
  }
  const [validity = 0, receive, rdmaRead, rdmaReceive] = answer;
  const valid = (bit: number, value: number | undefined): number | undefined =>
    (validity & bit) === 0 ? undefined : value;
  return {
    receive: valid(C.FI_EFA_MR_ATTR_RECV_IC_ID, receive),
    rdmaRead: valid(C.FI_EFA_MR_ATTR_RDMA_READ_IC_ID, rdmaRead),
    rdmaReceive: valid(C.FI_EFA_MR_ATTR_RDMA_RECV_IC_ID, rdmaReceive),
  };
}

/**
 * `fi_open_ops(3)` with FI_EFA_FEATURE_OPS, then `query`: whether provider efa has a feature, such as 'mixed_hmem_iov'.
 *
 * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider is not efa, or is older than libfabric 2.6.
 * @see https://ofiwg.github.io/libfabric/main/man/fi_efa.7.html
 */
export function efaFeature(fabric: Fabric, feature: string): boolean {
  if (!(fabric instanceof Fabric)) throw typeError('fabric', fabric, 'a Fabric');
  if (typeof feature !== 'string') throw typeError('feature', feature, 'a string');
  const answer = addon().efaFeature(fabric.handle, feature);
  if (isLacking(answer)) throw unsupportedError('the provider has no FI_EFA_FEATURE_OPS', 'fi_open_ops');
  return check(answer, 'fi_open_ops', 'the Fabric') === 1;
}
