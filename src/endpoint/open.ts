// open(): from options to an endpoint that is ready.
import {
  AddressVector,
  CompletionQueue,
  type CompletionQueueOptions,
  Domain,
  Endpoint as FiEndpoint,
  EventQueue,
  Fabric,
  type FabricObject,
  type Info,
  FI_SOURCE,
  SharedMemoryName,
  getInfo,
} from '../fi/index.js';
import { FI_ENOSPC, FI_ENOSYS } from '../fi/errno.js';
import { FabricError, checkInteger, deadlineError, rangeError, typeError } from '../fi/errors.js';
import type { Opened } from './core.js';
import type { Endpoint } from './endpoint.js';
import { endpointClass } from './features.js';
import type { Provider } from './providers.js';
import { type Candidate, candidates, noProvider, sharedMemoryFull } from './selection.js';
import type { Feature, OpenOptions, Operations } from './types.js';

const QUEUE_CAPACITY = 2048;
const DEFAULT_OPEN_MS = 30_000;
const features: readonly string[] = ['tagged', 'rma', 'atomic'];

function checkOptions(options: OpenOptions): void {
  if (typeof options !== 'object' || options === null) throw typeError('options', options, 'an object');
  for (const feature of options.features ?? [])
    if (!features.includes(feature))
      throw rangeError('options.features', feature, `made of ${features.join(', ')}`);
  if (options.ordered !== undefined && typeof options.ordered !== 'boolean')
    throw typeError('options.ordered', options.ordered, 'a boolean');
  for (const name of ['domain', 'node'] as const)
    if (options[name] !== undefined && typeof options[name] !== 'string')
      throw typeError(`options.${name}`, options[name], 'a string');
  const {
    service,
    receive,
    timeoutMs,
    sendTimeoutMs,
    signal,
    spinMicroseconds,
    maxSleepMicroseconds,
    progress,
  } = options;
  if (service !== undefined) checkInteger('options.service', Number(service), 0, 65535);
  if (receive?.buffers !== undefined)
    checkInteger('options.receive.buffers', receive.buffers, 1, QUEUE_CAPACITY / 4);
  if (receive?.size !== undefined) checkInteger('options.receive.size', receive.size, 1, 2 ** 30);
  if (timeoutMs !== undefined) checkInteger('options.timeoutMs', timeoutMs, 0, 0x7fffffff);
  if (sendTimeoutMs !== undefined) checkInteger('options.sendTimeoutMs', sendTimeoutMs, 1, 0x7fffffff);
  if (spinMicroseconds !== undefined) checkInteger('options.spinMicroseconds', spinMicroseconds, 0, 100_000);
  if (maxSleepMicroseconds !== undefined)
    checkInteger('options.maxSleepMicroseconds', maxSleepMicroseconds, 10, 1_000_000);
  if (progress !== undefined && !['auto', 'inline', 'thread'].includes(progress))
    throw rangeError('options.progress', progress, "'auto', 'inline' or 'thread'");
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw typeError('options.signal', signal, 'an AbortSignal');
}

/** A queue with the best wait object that the provider grants; -FI_ENOSYS means: not this one. */
export async function openQueue(domain: Domain, provider: Provider): Promise<CompletionQueue> {
  const formats = ['FI_CQ_FORMAT_TAGGED', 'FI_CQ_FORMAT_DATA'] as const;
  let last: unknown;
  for (const format of formats) {
    for (const waitObject of [...provider.waitObjects, 'FI_WAIT_NONE']) {
      const options: CompletionQueueOptions = { capacity: QUEUE_CAPACITY, format, waitObject };
      try {
        return await CompletionQueue.open(domain, options);
      } catch (error) {
        if (!(error instanceof FabricError) || error.errno !== FI_ENOSYS) throw error;
        last = error;
      }
    }
  }
  throw last;
}

/** The same info for an endpoint of the name given, where the provider has files in /dev/shm. */
async function named(info: Info, name: SharedMemoryName | undefined): Promise<Info> {
  if (name === undefined) return info;
  const [found] = await getInfo(
    {
      providerName: info.provider,
      endpointType: info.endpointType,
      caps: info.raw.caps,
      mode: info.raw.mode,
      memoryMode: info.memoryMode,
      threading: info.threading,
      addressVectorType: 'FI_AV_TABLE',
      resourceManagement: info.resourceManagement,
      transmit: { messageOrder: info.transmit.messageOrder },
      receive: { messageOrder: info.receive.messageOrder },
    },
    { node: name.name, flags: FI_SOURCE },
  );
  // Listed a moment ago: others have taken the room since. Under a name of its own the endpoint's file would stay.
  if (found === undefined) throw sharedMemoryFull('fi_getinfo');
  return found;
}

/** Opens and binds libfabric's objects. What was opened is closed again where a step fails or time is over. */
async function openObjects(provider: Provider, listed: Info, checkpoint: () => void): Promise<Opened> {
  const opened: FabricObject[] = [];
  const step = async <T extends FabricObject>(opening: Promise<T>): Promise<T> => {
    const object = await opening;
    opened.push(object);
    checkpoint();
    return object;
  };
  let name: SharedMemoryName | undefined;
  try {
    name = provider.sharedMemoryFiles ? SharedMemoryName.claim() : undefined;
    const info = await named(listed, name);
    const fabric = await step(Fabric.open(info));
    const domain = await step(Domain.open(fabric, info));
    const events = await step(EventQueue.open(fabric));
    const queue = await step(openQueue(domain, provider));
    const addresses = await step(AddressVector.open(domain));
    const endpoint = await step(FiEndpoint.open(domain, info));
    // Always: EFA aborts the process where an internal error finds no event queue.
    endpoint.bind(events);
    endpoint.bind(queue);
    endpoint.bind(addresses);
    name?.giveTo(endpoint);
    await endpoint.enable();
    checkpoint();
    return { provider, info, fabric, domain, queue, addresses, events, endpoint };
  } catch (error) {
    name?.release();
    await closeInReverse(opened);
    if (provider.sharedMemoryFiles && error instanceof FabricError && error.errno === FI_ENOSPC)
      throw sharedMemoryFull(error.call);
    throw error;
  }
}

async function closeInReverse(objects: readonly FabricObject[]): Promise<void> {
  for (const object of [...objects].reverse()) await object.close().catch(() => undefined);
}

function explainChoice(candidate: Candidate, refused: readonly Candidate[]): string {
  const why = `${candidate.provider.name}: ${candidate.provider.note}`;
  if (refused.length === 0) return `${why}; the first choice`;
  return `${why}; before it ${refused.map(({ provider, reason }) => `${provider.name} was refused: ${reason}`).join('; ')}`;
}

async function openFirst(options: OpenOptions, checkpoint: () => void): Promise<Endpoint> {
  const refused: Candidate[] = [];
  for await (const candidate of candidates(options)) {
    checkpoint();
    if (candidate.info !== undefined) {
      try {
        const opened = await openObjects(candidate.provider, candidate.info, checkpoint);
        const why = explainChoice(candidate, refused);
        return new (endpointClass(options.features ?? []))(opened, options, why);
      } catch (error) {
        checkpoint();
        // Listed by fi_getinfo, and yet it does not open: the next one may.
        if (!(error instanceof FabricError)) throw error;
        if (options.provider !== undefined && typeof options.provider === 'string') throw error;
        candidate.reason = error.message;
      }
    }
    refused.push(candidate);
  }
  throw await noProvider(refused);
}

/**
 * `fi_getinfo(3)`, `fi_endpoint(3)`, `fi_enable(3)`: opens an endpoint for reliable messages on the first provider that
 * offers all that the options ask for.
 *
 * Raw endpoints are not authenticated and not encrypted: anybody who can reach one can send to it. Bind them to a network
 * that you trust (`node`), or to loopback.
 *
 * @param options - See OpenOptions; nothing: ordered messages on the best provider of the machine.
 * @throws FabricError ERR_FABRIC_UNAVAILABLE where libfabric is missing, or no provider fits: names each candidate and
 *   what refused it.
 * @throws DOMException TimeoutError after `timeoutMs` (default 30000); the signal's reason where it was aborted.
 */
export async function open<const F extends readonly Feature[] = []>(
  options: OpenOptions<F> = {},
): Promise<Endpoint & Operations<F>> {
  checkOptions(options);
  const { signal } = options;
  signal?.throwIfAborted();
  const boundMs = options.timeoutMs ?? DEFAULT_OPEN_MS;
  let expired: { reason: unknown } | undefined;
  const checkpoint = (): void => {
    if (expired !== undefined) throw expired.reason;
  };
  return new Promise((resolve, reject) => {
    const stop = (reason: unknown): void => {
      expired = { reason };
      settle();
      reject(reason);
    };
    const onAbort = (): void => {
      stop(signal?.reason);
    };
    const timer = setTimeout(() => {
      stop(deadlineError(`open() did not finish within ${String(boundMs)} ms`));
    }, boundMs);
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    openFirst(options, checkpoint).then(
      (endpoint) => {
        // Too late: what was opened after all is closed again.
        if (expired !== undefined) void endpoint.close();
        settle();
        resolve(endpoint as Endpoint & Operations<F>);
      },
      (error: unknown) => {
        settle();
        reject(error);
      },
    );
  });
}
