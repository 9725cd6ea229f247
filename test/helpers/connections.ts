/** Connected endpoints (FI_EP_MSG) for a test, with all that each side has. */
import { expect, onTestFinished } from 'vitest';
import {
  CompletionQueue,
  Domain,
  Endpoint,
  EventQueue,
  FI_CONTEXT,
  FI_CONTEXT2,
  FI_SOURCE,
  Fabric,
  type FabricEvent,
  type FabricObject,
  type Hints,
  type Info,
  PassiveEndpoint,
  type SharedReceiveContext,
  getInfo,
} from 'libfabric/fi';
import { turn } from './fi.js';
import type { ProviderUnderTest } from './providers.js';

/** How long anything may take before a test gives up and says what it waited for. */
export const BOUND_MS = 15_000;

/** The Info of connections, with further hints. */
export async function connectionInfo(provider: ProviderUnderTest, more: Hints = {}): Promise<Info> {
  const hints = {
    providerName: provider.name,
    endpointType: 'FI_EP_MSG',
    caps: ['FI_MSG'],
    mode: FI_CONTEXT | FI_CONTEXT2,
    threading: 'FI_THREAD_SAFE',
    ...more,
  };
  const infos = await getInfo(hints, { node: '127.0.0.1', flags: FI_SOURCE });
  const info = infos.find((entry) => entry.provider === provider.name);
  if (info === undefined) throw new Error(`fi_getinfo lists no ${provider.name} of type FI_EP_MSG`);
  return info;
}

/** Whatever one process has of a connection; closed after the test, endpoints first. */
export class Party {
  readonly #opened: FabricObject[] = [];
  constructor(
    readonly provider: ProviderUnderTest,
    readonly info: Info,
    readonly fabric: Fabric,
    readonly events: EventQueue,
    readonly domain: Domain,
    readonly queue: CompletionQueue,
  ) {
    onTestFinished(async () => {
      for (const object of this.#opened.reverse()) await object.close();
      for (const object of [queue, domain, events, fabric]) await object.close();
    });
  }

  static async open(provider: ProviderUnderTest, hints: Hints = {}): Promise<Party> {
    const info = await connectionInfo(provider, hints);
    const fabric = await Fabric.open(info);
    const events = await EventQueue.open(fabric);
    const domain = await Domain.open(fabric, info);
    return new Party(provider, info, fabric, events, domain, await CompletionQueue.open(domain));
  }

  async keep<T extends FabricObject>(opening: Promise<T>): Promise<T> {
    const object = await opening;
    this.#opened.push(object);
    return object;
  }

  async endpoint(info = this.info, shared?: SharedReceiveContext): Promise<Endpoint> {
    const endpoint = await this.keep(Endpoint.open(this.domain, info));
    endpoint.bind(this.events);
    endpoint.bind(this.queue);
    if (shared !== undefined) endpoint.bind(shared);
    await endpoint.enable();
    return endpoint;
  }

  async listen(): Promise<PassiveEndpoint> {
    const passive = await this.keep(PassiveEndpoint.open(this.fabric, this.info));
    passive.bind(this.events);
    await passive.listen();
    return passive;
  }

  /** The next event. The other party is one that looks at its queue meanwhile, as its program would. */
  async event(other: Party): Promise<FabricEvent> {
    const progress = { isOver: false };
    const reading = this.events.sread(BOUND_MS).finally(() => {
      progress.isOver = true;
    });
    while (!progress.isOver) {
      this.queue.read();
      other.queue.read();
      await turn(this.provider);
    }
    const event = await reading;
    if (event === undefined) throw new Error('no event came');
    return event;
  }
}

/** Both ends of a connection. */
export interface Connection {
  client: Party;
  server: Party;
  there: Endpoint;
  here: Endpoint;
}

/** A connection that is made. */
export async function connected(provider: ProviderUnderTest): Promise<Connection> {
  const server = await Party.open(provider);
  const client = await Party.open(provider);
  const passive = await server.listen();
  const here = await client.endpoint();
  await here.connect(passive.getName());
  const request = await server.event(client);
  const there = await server.endpoint(request.info);
  await there.accept();
  const events = await Promise.all([client.event(server), server.event(client)]);
  expect(events.map(({ name }) => name)).toEqual(['FI_CONNECTED', 'FI_CONNECTED']);
  return { client, server, there, here };
}

/** Waits until something is so. */
export async function until(provider: ProviderUnderTest, what: string, isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + BOUND_MS;
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${BOUND_MS} ms`);
    await turn(provider);
  }
}
