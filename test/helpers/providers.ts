/**
 * Suites that run once for each provider of the machine, and everyday endpoints to run them on.
 *
 * A provider that cannot run a suite is one skipped test whose note says why. What ran and what did not goes to the
 * ledger of test/setup/ledger.ts. LIBFABRIC_TEST_PROVIDERS, a comma-separated list, leaves the others out.
 */
import { appendFileSync } from 'node:fs';
import { afterEach, describe, onTestFinished, test } from 'vitest';
import {
  type Endpoint,
  type Feature,
  type OpenOptions,
  type Operations,
  type Peer,
  explain,
  isAvailable,
  open,
} from 'libfabric';
import { libraryVersion } from 'libfabric/fi';
import { type Provider, providerNamed } from '../../src/endpoint/providers.js';

/** A provider that a suite runs on. */
export interface ProviderUnderTest extends Provider {
  /** Bound by the IP providers: tests never leave the machine. */
  readonly node: string | undefined;
  /** The name that open() is given, and that the suites and the ledger know it by. */
  readonly label: string;
  /** Without software of the provider's in between: no order, messages of one packet, nothing is cancelled (efa-direct). */
  readonly isBare: boolean;
  /** libfabric's version, as 0x10011 for 1.17: some behaviour changed with it. */
  readonly libraryVersion: number;
}

export interface SuiteOptions {
  /** What endpoints must be able to do; a provider without it is skipped. */
  features?: readonly Feature[];
  /** Run only on these, by libfabric's names; 'tcp' stands for net in libfabric 1.17 too. Default: all. */
  providers?: readonly string[];
  /** Why a provider cannot run the suite; undefined: it can. */
  unless?: (provider: ProviderUnderTest) => string | undefined | Promise<string | undefined>;
  /** Bound of each test, in ms; default: the configuration's. */
  timeoutMs?: number;
}

const library = isAvailable();
const version = library.available ? libraryVersion().version : 0;
const isOld = version < 0x10012;
const tcp = isOld ? 'net' : 'tcp';

const chosen = process.env.LIBFABRIC_TEST_PROVIDERS?.split(',')
  .map((name) => name.trim())
  .filter((name) => name !== '');

/**
 * All that the tests know how to run, by libfabric's names for this version. efa and efa-direct need a device, real or of the
 * command `libfabric softefa`, so they are run where they are asked for: `node scripts/test.mjs efa`.
 */
export const providerNames: readonly string[] = [
  ...['shm', tcp, 'tcp;ofi_rxm', 'sockets', 'udp;ofi_rxd'],
  ...['efa', 'efa-direct'].filter((name) => chosen?.includes(name)),
];

/** A provider by libfabric's name, for a suite of its own. */
export function underTest(name: string): ProviderUnderTest {
  const provider = providerNamed(name);
  return {
    ...provider,
    node: provider.ip ? '127.0.0.1' : undefined,
    label: provider.asked ?? provider.name,
    isBare: name === 'efa-direct',
    libraryVersion: version,
  };
}

/** The options of open() that choose this provider, on the loopback interface where it has addresses. */
export function openOptions({ label, node, isBare }: ProviderUnderTest): {
  provider: string;
  node?: string;
  ordered?: false;
} {
  return {
    provider: label,
    ...(node === undefined ? {} : { node }),
    ...(isBare ? { ordered: false } : {}),
  };
}

async function whyNot(provider: ProviderUnderTest, options: SuiteOptions): Promise<string | undefined> {
  const { label: name } = provider;
  if (!library.available) return library.reason;
  if (chosen !== undefined && !chosen.includes(name) && !(chosen.includes('tcp') && name === tcp))
    return `LIBFABRIC_TEST_PROVIDERS leaves it out`;
  const only = options.providers?.map((wanted) => (wanted === 'tcp' ? tcp : wanted));
  if (only !== undefined && !only.includes(name)) return `the suite is about ${only.join(', ')}`;
  const features = options.features ?? [];
  const { chosen: found, candidates } = await explain({ ...openOptions(provider), features });
  if (found === undefined) return candidates[0]?.reason ?? 'libfabric names no candidate';
  return options.unless?.(provider);
}

function record(provider: string, ran: boolean, reason?: string): void {
  const ledger = process.env.LIBFABRIC_TEST_LEDGER;
  if (ledger !== undefined) appendFileSync(ledger, `${JSON.stringify({ provider, ran, reason })}\n`);
}

function skipped(name: string, reason: string): void {
  test('the whole suite', (context) => {
    record(name, false, reason);
    context.skip(reason);
  });
}

function runs(name: string): void {
  let recorded = false;
  afterEach(({ task }) => {
    // A provider counts as tested once a test has passed on it, not because its suite was entered.
    if (recorded || task.result?.state !== 'pass') return;
    recorded = true;
    record(name, true);
  });
}

/** A suite for each provider: `define` declares its tests. Skips where a provider lacks what `options` ask for. */
export function describeOnProviders(
  suiteName: string,
  options: SuiteOptions,
  define: (provider: ProviderUnderTest) => void,
): void {
  const settings = options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs };
  describe.each(providerNames)(`${suiteName} on %s`, settings, async (name) => {
    const provider = underTest(name);
    const reason = await whyNot(provider, options);
    if (reason !== undefined) {
      skipped(name, reason);
      return;
    }
    runs(name);
    define(provider);
  });
}

/** Endpoints of one test: closed at its end all at once, since a close may have to wait for the other side. */
class TestEndpoints {
  readonly #endpoints: Endpoint[] = [];
  readonly errors: Error[] = [];

  constructor() {
    onTestFinished(async () => {
      await Promise.all(this.#endpoints.map((endpoint) => endpoint.close()));
      if (this.errors.length > 0)
        throw new AggregateError(this.errors, `'error' events: ${this.errors.map(String).join('; ')}`);
    });
  }

  async open<const F extends readonly Feature[]>(options: OpenOptions<F>): Promise<Endpoint & Operations<F>> {
    const endpoint = await open<F>(options);
    endpoint.on('error', (error: Error) => this.errors.push(error));
    this.#endpoints.push(endpoint);
    return endpoint;
  }
}

/** An endpoint that is closed after the test, and whose 'error' events fail the test. */
export async function openOne<const F extends readonly Feature[] = []>(
  provider: ProviderUnderTest,
  options: OpenOptions<F> = {},
): Promise<Endpoint & Operations<F>> {
  return new TestEndpoints().open<F>({ ...openOptions(provider), ...options });
}

/** Two endpoints of this process that know each other. */
export interface Pair<F extends readonly Feature[]> {
  readonly a: Endpoint & Operations<F>;
  readonly b: Endpoint & Operations<F>;
  /** b, as a sends to it. */
  readonly toB: Peer;
  /** a, as b sends to it. */
  readonly toA: Peer;
  /** 'error' events of both so far. A test that provokes some takes them out: those that are left fail it. */
  readonly errors: Error[];
}

/** Two endpoints that know each other. Both are closed after the test; 'error' events of either fail the test. */
export async function openPair<const F extends readonly Feature[] = []>(
  provider: ProviderUnderTest,
  options: OpenOptions<F> = {},
): Promise<Pair<F>> {
  const endpoints = new TestEndpoints();
  const a = await endpoints.open<F>({ ...openOptions(provider), ...options });
  const b = await endpoints.open<F>({ ...openOptions(provider), ...options });
  return { a, b, toB: a.peer(b.contact), toA: b.peer(a.contact), errors: endpoints.errors };
}
