// Which provider an endpoint gets, and why: asks fi_getinfo for each candidate with all that the program needs, and,
// where one is refused, again with one hint relaxed at a time to find the one that refused it.
import {
  FI_ATOMIC,
  FI_CONTEXT,
  FI_CONTEXT2,
  FI_DIRECTED_RECV,
  FI_MSG,
  FI_REMOTE_COMM,
  FI_RMA,
  FI_SOURCE,
  FI_TAGGED,
  type Hints,
  type Info,
  getInfo,
  isAvailable,
  libraryVersion,
} from '../fi/index.js';
import { type FabricError, rangeError, typeError, unavailableByCall } from '../fi/errors.js';
import { statfsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { FI_ENODATA, FI_ENOSPC } from '../fi/errno.js';
import { defaultAddress, isForeignAddress, listInterfaces } from './interfaces.js';
import { DEFAULT_PROVIDERS, type Provider, candidatesFor, knownProviders } from './providers.js';
import type { CandidateExplanation, Explanation, Feature, OpenOptions } from './types.js';

/** A candidate that can be opened, or why it cannot. */
export interface Candidate {
  requested: string;
  provider: Provider;
  info: Info | undefined;
  /** Why it can be opened, or what refused it. */
  reason: string;
  /** The feature that refused it. */
  lacks?: Feature | undefined;
  domains: string[];
}

const capabilityNames: Readonly<Record<Feature, string>> = {
  tagged: 'FI_TAGGED',
  rma: 'FI_RMA',
  atomic: 'FI_ATOMIC',
};
const capabilities: Readonly<Record<Feature, bigint>> = {
  tagged: FI_TAGGED,
  rma: FI_RMA,
  atomic: FI_ATOMIC,
};

/** @internal What is asked of every provider; each clears what it does not need. */
export function hintsFor(provider: Provider, options: OpenOptions): Hints {
  const features: readonly Feature[] = options.features ?? [];
  let caps = FI_MSG | FI_SOURCE | FI_DIRECTED_RECV;
  for (const feature of features) caps |= capabilities[feature];
  if (provider.remoteOnly === true) caps |= FI_REMOTE_COMM;
  const ordered = options.ordered ?? true;
  const order = ordered ? ['FI_ORDER_SAS'] : [];
  return {
    providerName: provider.name,
    ...(provider.fabric === undefined ? {} : { fabricName: provider.fabric }),
    ...(options.domain === undefined ? {} : { domainName: options.domain }),
    endpointType: 'FI_EP_RDM',
    caps,
    mode: FI_CONTEXT | FI_CONTEXT2,
    memoryMode: ['FI_MR_LOCAL', 'FI_MR_VIRT_ADDR', 'FI_MR_ALLOCATED', 'FI_MR_PROV_KEY'],
    threading: 'FI_THREAD_SAFE',
    addressVectorType: 'FI_AV_TABLE',
    resourceManagement: 'FI_RM_ENABLED',
    transmit: { messageOrder: order },
    receive: { messageOrder: order },
  };
}

/** The shm provider wants so much free for each core, or lists nothing. */
const SHM_BYTES_PER_CORE = 18 * 2 ** 20;
const ROOM_ADVICE = 'free some, or give the container more (docker run --shm-size)';

/** How much room /dev/shm lacks, and what to do; undefined where fi_getinfo finds enough. */
function sharedMemoryShortage(): string | undefined {
  const { bavail, bsize } = statfsSync('/dev/shm');
  const needed = availableParallelism() * SHM_BYTES_PER_CORE;
  if (bavail * bsize >= needed) return undefined;
  return `/dev/shm has ${String(Math.floor((bavail * bsize) / 2 ** 20))} MiB free and ${String(needed / 2 ** 20)} are needed; ${ROOM_ADVICE}`;
}

/** Others took the room in /dev/shm between fi_getinfo's look and the endpoint's own. */
export function sharedMemoryFull(call: string | undefined): FabricError {
  const shortage = sharedMemoryShortage() ?? `/dev/shm is full; ${ROOM_ADVICE}`;
  return unavailableByCall(`the endpoint has no room for its file: ${shortage}`, FI_ENOSPC, call);
}

interface Relaxation {
  /** What the hint asks for, in the user's words. */
  name: string;
  /** What it leaves out, where that is a feature: others are named that have it. */
  feature?: Feature;
  relax: (hints: Hints) => Hints;
}

const featureNames: Readonly<Record<Feature, string>> = {
  tagged: "tagged messages (features: ['tagged'], FI_TAGGED)",
  rma: "reads and writes of remote memory (features: ['rma'], FI_RMA)",
  atomic: "atomics (features: ['atomic'], FI_ATOMIC)",
};

const featureRelaxations: readonly Relaxation[] = (['tagged', 'rma', 'atomic'] as const).map((feature) => ({
  name: featureNames[feature],
  feature,
  relax: (hints) => ({ ...hints, caps: (hints.caps as bigint) & ~capabilities[feature] }),
}));

const relaxations: readonly Relaxation[] = [
  {
    name: 'ordered messages (ordered: true, FI_ORDER_SAS); open with ordered: false if order does not matter',
    relax: (hints) => ({ ...hints, transmit: {}, receive: {} }),
  },
  ...featureRelaxations,
  {
    name: 'the domain asked for (domain); explain() without it lists the domains',
    relax: ({ domainName: _, ...hints }) => hints,
  },
  { name: 'use by several threads (FI_THREAD_SAFE)', relax: ({ threading: _, ...hints }) => hints },
  { name: 'addresses as a table (FI_AV_TABLE)', relax: ({ addressVectorType: _, ...hints }) => hints },
  { name: 'flow control (FI_RM_ENABLED)', relax: ({ resourceManagement: _, ...hints }) => hints },
  {
    name: 'the memory registration modes offered',
    relax: (hints) => ({
      ...hints,
      memoryMode: [
        ...(hints.memoryMode as string[]),
        'FI_MR_ENDPOINT',
        'FI_MR_RMA_EVENT',
        'FI_MR_RAW',
        'FI_MR_COLLECTIVE',
      ],
    }),
  },
  { name: 'reliable datagrams (FI_EP_RDM)', relax: ({ endpointType: _, ...hints }) => hints },
];

/** The local address that a provider is asked to bind, or why there is none. */
function target(
  provider: Provider,
  options: OpenOptions,
): { node?: string; service?: string | number; flags: bigint } | string {
  if (provider.sharedMemoryFiles && options.node !== undefined)
    return { node: options.node, flags: FI_SOURCE };
  if (!provider.ip) return { flags: 0n };
  const node = options.node ?? defaultAddress();
  if (node === undefined)
    return "no interface with a routable address is up; give node: '127.0.0.1' to stay on this machine";
  // fi_getinfo lists infos for addresses of other machines too.
  if (isForeignAddress(node)) return `it cannot bind the address ${node}: this machine does not have it`;
  return { node, ...(options.service === undefined ? {} : { service: options.service }), flags: FI_SOURCE };
}

/** libfabric lists layered providers under a core provider's name: only the exact one counts. */
function matching(infos: readonly Info[], provider: Provider): Info[] {
  return infos.filter(
    (info) =>
      info.provider === provider.name &&
      (provider.fabric === undefined || info.fabricName === provider.fabric),
  );
}

/** Some capabilities are wanted, not needed: asked for together, then one by one given up. */
async function ask(
  provider: Provider,
  hints: Hints,
  where: { node?: string; service?: string | number; flags: bigint },
): Promise<Info[]> {
  const caps = hints.caps as bigint;
  for (const wanted of [caps, caps & ~FI_DIRECTED_RECV, caps & ~FI_DIRECTED_RECV & ~FI_SOURCE]) {
    const infos = matching(await getInfo({ ...hints, caps: wanted }, where), provider);
    if (infos.length !== 0) return infos;
  }
  return [];
}

/** What has a feature here, for who asked a provider that has not. Asks all of them, so only for somebody who reads it. */
async function othersWith(feature: Feature, provider: Provider): Promise<string> {
  const names: string[] = [];
  for (const other of knownProviders()) {
    if (other === provider || other.falseCaps.includes(capabilityNames[feature])) continue;
    const hints = hintsFor(other, { features: [feature] });
    if ((await ask(other, hints, { flags: 0n })).length !== 0) names.push(`'${other.asked ?? other.name}'`);
  }
  return names.length === 0 ? '; no other provider here does' : `; here ${names.join(', ')} do`;
}

/** What refused a provider. */
interface Refusal {
  readonly reason: string;
  readonly lacks?: Feature | undefined;
}

/** A feature that a provider advertises and has not. */
function falselyOffered(provider: Provider, options: OpenOptions): Refusal | undefined {
  const lacks = options.features?.find((feature) => provider.falseCaps.includes(capabilityNames[feature]));
  if (lacks === undefined) return undefined;
  return { reason: `it does not offer ${featureNames[lacks]}, though it says so`, lacks };
}

async function whyRefused(
  provider: Provider,
  hints: Hints,
  where: { node?: string; service?: string | number; flags: bigint },
): Promise<Refusal> {
  if (provider.sharedMemoryFiles) {
    const shortage = sharedMemoryShortage();
    if (shortage !== undefined) return { reason: shortage };
  }
  for (const { name, feature, relax } of relaxations) {
    const relaxed = relax(hints);
    if (JSON.stringify(relaxed, bigintText) === JSON.stringify(hints, bigintText)) continue;
    if ((await ask(provider, relaxed, where)).length === 0) continue;
    return { reason: `it does not offer ${name}`, lacks: feature };
  }
  return { reason: await whyNowhere(provider, where) };
}

/** What refused a provider that no hint refused. */
async function whyNowhere(
  provider: Provider,
  where: { node?: string; service?: string | number },
): Promise<string> {
  const isThere = matching(await getInfo({ providerName: provider.name }), provider).length !== 0;
  if (where.node !== undefined && isThere)
    return `it cannot bind the address ${where.node}${where.service === undefined ? '' : ` port ${String(where.service)}`}`;
  if (isThere) return 'it does not offer this combination of hints, though each alone';
  return 'this libfabric has no such provider, or the provider found no device';
}

const bigintText = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? String(value) : value;

function domainsOf(infos: readonly Info[]): string[] {
  return [...new Set(infos.map((entry) => entry.domainName))];
}

async function examine(requested: string, provider: Provider, options: OpenOptions): Promise<Candidate> {
  const base = { requested, provider, info: undefined, domains: [] };
  const lacking = falselyOffered(provider, options);
  if (lacking !== undefined) return { ...base, ...lacking };
  const where = target(provider, options);
  if (typeof where === 'string') return { ...base, reason: where };
  const hints = hintsFor(provider, options);
  const listed = await ask(provider, hints, where);
  // TCP providers list their domains whatever name was asked for.
  const infos = listed.filter((entry) => options.domain === undefined || entry.domainName === options.domain);
  if (listed.length !== 0 && infos.length === 0)
    return {
      ...base,
      reason: `it has no domain '${options.domain ?? ''}', but ${domainsOf(listed).join(', ')}`,
    };
  const info = infos[0];
  if (info === undefined) return { ...base, ...(await whyRefused(provider, hints, where)) };
  return { requested, provider, info, domains: domainsOf(infos), reason: provider.note };
}

/** The names to try, in order. */
export function requestedProviders(options: OpenOptions): readonly string[] {
  const { provider } = options;
  const given = provider ?? process.env.LIBFABRIC_PROVIDER?.split(',').map((name) => name.trim());
  if (given === undefined) return DEFAULT_PROVIDERS;
  const names = typeof given === 'string' ? [given] : given;
  if (!Array.isArray(names)) throw typeError('options.provider', provider, 'a name or an array of names');
  const list = (names as readonly unknown[]).filter((name) => name !== '');
  for (const name of list)
    if (typeof name !== 'string') throw typeError('options.provider', name, 'a name or an array of names');
  if (list.length === 0)
    throw rangeError('options.provider', provider, 'at least one name, such as tcp or shm');
  return list as readonly string[];
}

/** Candidates in order. Stops at the first that can be opened unless `all` is given. */
export async function* candidates(options: OpenOptions): AsyncGenerator<Candidate> {
  const { version } = libraryVersion();
  for (const requested of requestedProviders(options))
    for (const provider of candidatesFor(requested, version))
      yield await examine(requested, provider, options);
}

async function describeCandidate(
  candidate: Candidate,
  status: CandidateExplanation['status'],
): Promise<CandidateExplanation> {
  const { requested, provider, domains, lacks } = candidate;
  const reason = candidate.reason + (lacks === undefined ? '' : await othersWith(lacks, provider));
  return { requested, provider: provider.name, status, reason, domains };
}

class ExplanationText implements Explanation {
  readonly libfabric: { version: string; path: string } | undefined;
  readonly chosen: CandidateExplanation | undefined;
  readonly candidates: readonly CandidateExplanation[];
  readonly interfaces = listInterfaces();

  constructor(candidateList: readonly CandidateExplanation[]) {
    const found = isAvailable();
    this.libfabric = found.available ? { version: found.version, path: found.path } : undefined;
    this.candidates = candidateList;
    this.chosen = candidateList.find((entry) => entry.status === 'chosen');
  }

  toString(): string {
    const lines = [
      this.libfabric === undefined
        ? 'libfabric: missing'
        : `libfabric ${this.libfabric.version}, ${this.libfabric.path}`,
      ...this.candidates.map(({ requested, provider, status, reason, domains }) => {
        const name = requested === provider ? provider : `${requested} (${provider})`;
        return `${status.padEnd(9)} ${name}: ${reason}${domains.length === 0 ? '' : `; domains ${domains.join(', ')}`}`;
      }),
      ...this.interfaces.map(({ name, address, kind }) => `interface ${name} ${address} (${kind})`),
    ];
    return lines.join('\n');
  }
}

/**
 * `fi_getinfo(3)`: what open() would choose with the same options; for every other candidate, what refused it, found by
 * asking again with one hint relaxed at a time; and the machine's interfaces. Opens nothing.
 */
export async function explain(options: OpenOptions = {}): Promise<Explanation> {
  const list: CandidateExplanation[] = [];
  let chosen = false;
  for await (const candidate of candidates(options)) {
    if (candidate.info === undefined) {
      list.push(await describeCandidate(candidate, 'refused'));
    } else {
      list.push(await describeCandidate(candidate, chosen ? 'available' : 'chosen'));
      chosen = true;
    }
  }
  return new ExplanationText(list);
}

/** The error of open() where no candidate can be opened: names each and what refused it. */
export async function noProvider(refused: readonly Candidate[]): Promise<Error> {
  const lines: string[] = [];
  for (const candidate of refused) {
    const { requested, provider, reason } = await describeCandidate(candidate, 'refused');
    const name = requested === provider ? provider : `${requested} (${provider})`;
    lines.push(`${name}: ${reason}`);
  }
  return unavailableByCall(
    `no provider can be opened with these options. ${lines.join('. ')}. explain() with the same options says more`,
    FI_ENODATA,
    'fi_getinfo',
  );
}
