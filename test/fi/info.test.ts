import { describe, expect, it } from 'vitest';
import * as fi from 'libfabric/fi';
import { hintsFor, infoFor } from '../helpers/fi.js';
import { describeOnProviders } from '../helpers/providers.js';

const { version, apiVersion, path } = fi.libraryVersion();

describeOnProviders('getInfo', {}, (provider) => {
  const target = provider.node === undefined ? {} : { node: provider.node, flags: fi.FI_SOURCE };

  it('answers all that fi_info holds, readable and as numbers', async () => {
    const info = await infoFor(provider);
    expect(info.provider).toBe(provider.name);
    expect(info.providerVersion).toMatch(/^\d+\.\d+$/);
    for (const name of [info.fabricName, info.domainName]) expect(name).not.toBe('');
    expect(info.endpointType).toBe('FI_EP_RDM');
    const others = provider.name === 'efa' ? 'FI_ADDR_EFA' : 'FI_ADDR_STR';
    expect(info.addressFormat).toBe(provider.ip ? 'FI_SOCKADDR_IN' : others);
    expect(info.caps).toEqual(expect.arrayContaining(['FI_MSG', 'FI_TAGGED', 'FI_SEND', 'FI_RECV']));
    expect(info.threading).toBe('FI_THREAD_SAFE');
    expect(['FI_PROGRESS_AUTO', 'FI_PROGRESS_MANUAL']).toContain(info.dataProgress);
    expect(['FI_PROGRESS_AUTO', 'FI_PROGRESS_MANUAL']).toContain(info.controlProgress);
    expect(info.resourceManagement).toBe('FI_RM_ENABLED');
    expect(info.addressVectorType).toBe('FI_AV_TABLE');
    expect(info.transmit.messageOrder).toContain('FI_ORDER_SAS');
    for (const size of [info.maxMessageSize, info.transmit.size, info.receive.size, info.transmit.iovLimit])
      expect(size).toBeGreaterThan(0);
    expect(Number.isSafeInteger(info.maxMessageSize)).toBe(true);
    expect(info.injectSize).toBeGreaterThanOrEqual(0);
    expect(info.immediateSize).toBeGreaterThanOrEqual(4);
    expect(info.memoryKeySize).toBeGreaterThan(0);
    if (provider.ip) expect(info.sourceAddress?.byteLength).toBe(16);
  });

  it('has no name without a number behind it', async () => {
    const info = await infoFor(provider);
    const { raw } = info;
    expect(fi.flagBits('caps', info.caps.filter(isName), 'caps') & ~raw.caps).toBe(0n);
    expect(fi.flagNames('caps', raw.caps)).toEqual(info.caps);
    expect(fi.flagNames('mode', raw.mode)).toEqual(info.mode);
    expect(raw.endpoint.maxMessageSize).toBe(info.maxMessageSize);
    expect(raw.transmit.injectSize).toBe(info.injectSize);
    expect(raw.domain.immediateSize).toBe(info.immediateSize);
    expect(raw.fabric).toMatchObject({ provider: provider.name, name: info.fabricName });
    expect(fi.enumName('addressFormat', raw.addressFormat)).toBe(info.addressFormat);
    for (const part of ['transmit', 'receive', 'endpoint', 'domain'] as const)
      for (const [name, value] of Object.entries(raw[part]))
        if (name !== 'name') expect(['number', 'bigint'], `${part}.${name}`).toContain(typeof value);
  });

  it('takes flags and enumerations by names, bigints and numbers alike', async () => {
    const byName = await fi.getInfo(hintsFor(provider), target);
    const byNumber = await fi.getInfo(
      {
        ...hintsFor(provider),
        caps: fi.FI_MSG | fi.FI_TAGGED,
        endpointType: fi.FI_EP_RDM,
        memoryMode: BigInt(fi.FI_MR_LOCAL | fi.FI_MR_VIRT_ADDR | fi.FI_MR_ALLOCATED | fi.FI_MR_PROV_KEY),
        threading: fi.FI_THREAD_SAFE,
        addressVectorType: fi.FI_AV_TABLE,
        resourceManagement: fi.FI_RM_ENABLED,
        transmit: { messageOrder: fi.FI_ORDER_SAS },
        receive: { messageOrder: fi.FI_ORDER_SAS },
      },
      target,
    );
    expect(byNumber.length).toBeGreaterThan(0);
    const comparable = ({
      provider: name,
      domainName,
      fabricName,
      caps,
      mode,
      memoryMode,
    }: fi.Info): unknown => ({
      name,
      domainName,
      fabricName,
      caps,
      mode,
      memoryMode,
    });
    expect(byNumber.map(comparable)).toEqual(byName.map(comparable));
  });

  it('honours every hint that narrows', async () => {
    const hints = hintsFor(provider);
    const base = await infoFor(provider);
    const only = async (more: fi.Hints): Promise<fi.Info[]> =>
      (await fi.getInfo({ ...hints, ...more }, target)).filter((info) => info.provider === provider.name);

    const same = await only({
      fabricName: base.fabricName,
      domainName: base.domainName,
      addressFormat: base.addressFormat,
      protocol: base.raw.endpoint.protocol as number,
      maxMessageSize: base.maxMessageSize,
      immediateSize: base.immediateSize,
      controlProgress: base.controlProgress,
      dataProgress: base.dataProgress,
      transmit: { size: 1, injectSize: 1, iovLimit: 1, messageOrder: ['FI_ORDER_SAS'] },
      receive: { size: 1, iovLimit: 1, messageOrder: ['FI_ORDER_SAS'] },
    });
    expect(same.length).toBeGreaterThan(0);
    for (const info of same) {
      expect(info.domainName).toBe(base.domainName);
      expect(info.fabricName).toBe(base.fabricName);
    }
    expect(await only({ protocol: 0x7fff_ffff })).toEqual([]);
    expect(await only({ transmit: { iovLimit: 1 << 20 } })).toEqual([]);
    expect(await only({ transmit: { injectSize: 2 ** 40 } })).toEqual([]);
    expect(await only({ receive: { iovLimit: 1 << 20 } })).toEqual([]);
  });

  it('lists nothing of another domain or fabric', async (context) => {
    if (version < 0x20000) context.skip('libfabric 1.x lists what has other names too');
    for (const more of [{ domainName: 'no such domain' }, { fabricName: 'no such fabric' }])
      expect(await fi.getInfo({ ...hintsFor(provider), ...more }, target)).toEqual([]);
  });

  it('gives an Info that cannot be changed', async () => {
    const info = await infoFor(provider);
    expect(() => {
      (info as { provider: string }).provider = 'other';
    }).toThrow(TypeError);
  });
});

describe('getInfo', () => {
  it('lists everything without hints, the best of a provider first', async () => {
    const infos = await fi.getInfo();
    expect(infos.length).toBeGreaterThan(1);
    expect(new Set(infos.map(({ provider }) => provider)).size).toBeGreaterThan(1);
  });

  it('answers nothing where nothing matches', async () => {
    expect(await fi.getInfo({ providerName: 'no such provider' })).toEqual([]);
    expect(
      await fi.getInfo({ providerName: 'sockets', endpointType: 'FI_EP_RDM', addressFormat: 'FI_ADDR_EFA' }),
    ).toEqual([]);
  });

  it.each([
    ['caps', { caps: ['FI_MSG', 'FI_TAGGD'] }],
    ['mode', { mode: ['FI_CONTEXT3'] }],
    ['memoryMode', { memoryMode: ['FI_MSG'] }],
    ['endpointType', { endpointType: 'FI_EP_RD' }],
    ['addressFormat', { addressFormat: 'FI_SOCKADDR_IN4' }],
    ['threading', { threading: 'safe' }],
    ['controlProgress', { controlProgress: 'FI_PROGRESS' }],
    ['dataProgress', { dataProgress: 'manual' }],
    ['resourceManagement', { resourceManagement: 'yes' }],
    ['addressVectorType', { addressVectorType: 'FI_AV_LIST' }],
    ['transmit.messageOrder', { transmit: { messageOrder: ['FI_ORDER_ALL'] } }],
    ['transmit.flags', { transmit: { flags: ['FI_DELIVER'] } }],
    ['receive.messageOrder', { receive: { messageOrder: ['SAS'] } }],
    ['receive.completionOrder', { receive: { completionOrder: ['SAS'] } }],
  ] as [string, fi.Hints][])(
    'refuses an unknown name in %s, and lists the known ones',
    async (name, hints) => {
      const asked = fi.getInfo(hints);
      await expect(asked).rejects.toThrow(RangeError);
      await expect(asked).rejects.toThrow(new RegExp(`hints\\.${name} must be .*FI_`));
    },
  );

  it.each([null, 5, 'tcp', true])('refuses the hints %s', async (hints) => {
    await expect(fi.getInfo(hints as unknown as fi.Hints)).rejects.toThrow(TypeError);
  });

  it.each([5, 'FI_MSG', {}, null])('refuses the flags %s', async (caps) => {
    await expect(fi.getInfo({ caps: caps as unknown as bigint })).rejects.toThrow(TypeError);
  });

  it('runs several at a time', async () => {
    const names = ['sockets', 'no such provider', 'sockets', 'shm'];
    const answers = await Promise.all(names.map((providerName) => fi.getInfo({ providerName })));
    expect(answers[0].length).toBe(answers[2].length);
    expect(answers[0].length).toBeGreaterThan(0);
    expect(answers[1]).toEqual([]);
  });

  it('describes the network card where the provider names one', async (context) => {
    const cards = (await fi.getInfo()).flatMap(({ nic }) => (nic === undefined ? [] : [nic]));
    if (cards.length === 0) context.skip('no provider of this machine names a card');
    for (const nic of cards) {
      expect(['FI_LINK_UNKNOWN', 'FI_LINK_DOWN', 'FI_LINK_UP']).toContain(nic.linkState);
      for (const text of [nic.device, nic.driver, nic.networkType])
        expect(['string', 'undefined']).toContain(typeof text);
    }
  });
});

describe('versions', () => {
  it('are told as numbers and as text', () => {
    const available = fi.isAvailable();
    expect(available).toEqual({ available: true, version: `${version >>> 16}.${version & 0xffff}`, path });
    expect(path).toMatch(/^\/.*libfabric\.so/);
  });

  it('of the interface never go beyond what the library or the package knows', async () => {
    expect(apiVersion).toBeLessThanOrEqual(version);
    expect(apiVersion).toBeGreaterThanOrEqual((1 << 16) | 9);
    const infos = await fi.getInfo({ providerName: 'sockets' });
    for (const { raw } of infos) expect(raw.fabric.apiVersion).toBe(apiVersion);
  });
});

describe('names', () => {
  it.each(['caps', 'operation', 'mode', 'memoryMode', 'order'] as const)('of %s go both ways', (kind) => {
    const all = fi.flagNames(kind, (1n << 64n) - 1n).filter(isName);
    expect(all.length).toBeGreaterThan(5);
    for (const name of all) expect(fi.flagNames(kind, fi.flagBits(kind, [name], 'name'))).toContain(name);
  });

  it('give a bit without a name as a number, so that nothing is lost', () => {
    expect(fi.flagNames('mode', 1n << 40n)).toEqual(['0x10000000000']);
    expect(fi.flagNames('caps', 0n)).toEqual([]);
    expect(fi.enumName('endpointType', 77)).toBe('77');
  });

  it('of errors are those of fi_errno(3)', () => {
    expect([11, 16, 22, 61, 95, 125, 256, 258, 265, 99_999].map(fi.errnoName)).toEqual([
      'FI_EAGAIN',
      'FI_EBUSY',
      'FI_EINVAL',
      'FI_ENODATA',
      'FI_EOPNOTSUPP',
      'FI_ECANCELED',
      'FI_EOTHER',
      'FI_EOPBADSTATE',
      'FI_ETRUNC',
      expect.stringContaining('99999'),
    ]);
  });
});

function isName(text: string): boolean {
  return text.startsWith('FI_');
}
