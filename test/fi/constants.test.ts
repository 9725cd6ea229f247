import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import * as fi from 'libfabric/fi';

type Value = number | bigint | string;
interface Headers {
  version: string;
  constants: Map<string, Value>;
  enumerations: { name: string; values: Map<string, number> }[];
}
interface HeadersModule {
  machineHeaders: () => string | undefined;
  readHeaders: (folder: string) => Headers;
}
interface ConstantsModule {
  exportedValue: (name: string, value: Value) => Value;
  isEmptied: (name: string, value: Value) => boolean;
  notExported: Set<string>;
  stale: (folders: string[]) => Promise<string[]>;
}

const script = async (name: string): Promise<unknown> =>
  await import(pathToFileURL(join(import.meta.dirname, '../../scripts', name)).href);
const { machineHeaders, readHeaders } = (await script('headers.mjs')) as HeadersModule;
const { exportedValue, isEmptied, notExported, stale } = (await script('constants.mjs')) as ConstantsModule;
const exported = fi as unknown as Record<string, unknown>;
const folder = machineHeaders();

describe('constants', () => {
  it("are those of this machine's headers, by name and value", (context) => {
    if (folder === undefined) return context.skip("libfabric's headers are not installed");
    const { constants } = readHeaders(folder);
    let count = 0;
    for (const [name, value] of constants) {
      if (!name.startsWith('FI_') || notExported.has(name) || isEmptied(name, value)) continue;
      expect(exported[name], name).toBe(exportedValue(name, value));
      count++;
    }
    expect(count).toBeGreaterThan(400);
  });

  it('are what the headers of libfabric 1.17 and 2.1 generate', async (context) => {
    const root = process.env.LIBFABRIC_DEBIAN13 ?? '/var/cache/libfabric-node/debian13';
    const newer = join(root, 'usr/include/rdma');
    if (folder === undefined || readHeaders(folder).version !== '1.17')
      return context.skip('the headers of libfabric 1.17 are not here');
    if (!existsSync(newer)) return context.skip(`the headers of libfabric 2.1 are not in ${newer}`);
    expect(await stale([folder, newer]), 'run node scripts/constants.mjs').toEqual([]);
  });

  it('of later releases have their declared values', () => {
    expect(fi.FI_OPT_EFA_RNR_RETRY).toBe(-(0xefa << 16));
    expect(fi.FI_OPT_EFA_USE_UNSOLICITED_WRITE_RECV).toBe(fi.FI_OPT_EFA_RNR_RETRY + 8);
    expect(fi.FI_OPT_FIREWALL_ADDR).toBe(fi.FI_OPT_INJECT_ATOMIC_SIZE + 1);
    expect(fi.FI_GET_FD).toBe(fi.FI_EXPORT_FID + 1);
    expect(fi.FI_RESCAN).toBe(1n << 35n);
    expect(fi.errnoName(fi.FI_EFIREWALLADDR)).toBe('FI_EFIREWALLADDR');
  });
});

describe('what the headers compute', () => {
  it('is computed as there', () => {
    expect(fi.tcDscpSet(46)).toBe(fi.FI_TC_DSCP + 46);
    expect(fi.tcDscpGet(fi.tcDscpSet(46))).toBe(46);
    expect(fi.tcDscpGet(fi.FI_TC_BULK_DATA)).toBe(0);
    expect(fi.tagMpi(-1, 3)).toBe(0x3ffffffffn);
    expect(fi.hmemZeDevice(2, 5)).toBe(0x20005);
    expect(() => fi.tcDscpSet(64)).toThrow(RangeError);
    expect(() => fi.tagMpi(2 ** 31, 0)).toThrow(RangeError);
    expect(() => fi.hmemZeDevice(0, '1' as unknown as number)).toThrow(TypeError);
  });
});

describe('names of enumerations', () => {
  it('go both ways', () => {
    expect(fi.enumName('endpointOption', fi.FI_OPT_EFA_RNR_RETRY)).toBe('FI_OPT_EFA_RNR_RETRY');
    expect(fi.enumName('datatype', fi.FI_VOID)).toBe('FI_VOID');
    expect(fi.enumName('trafficClass', fi.FI_TC_BULK_DATA)).toBe('FI_TC_BULK_DATA');
    expect(fi.enumName('logLevel', 99)).toBe('99');
  });

  it('give the first of two names for one bit', () => {
    expect(fi.flagNames('caps', fi.FI_EXACT_DIRECTED_RECV)).toEqual(['FI_EXACT_DIRECTED_RECV']);
    expect(fi.flagBits('caps', ['FI_VARIABLE_MSG'], 'caps')).toBe(1n << 48n);
  });
});
