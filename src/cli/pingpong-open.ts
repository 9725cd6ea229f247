/** How the two sides of a ping-pong find each other: their addresses over the control connection, or a connection. */
import {
  EventQueue,
  FI_CONTEXT,
  FI_CONTEXT2,
  FI_MSG_PREFIX,
  FI_SOURCE,
  Fabric,
  type FabricEvent,
  type FabricObject,
  type GetInfoTarget,
  type Hints,
  type Info,
  PassiveEndpoint,
  SharedMemoryName,
  errnoName,
  getInfo,
} from '../fi/index.js';
import { providerNamed } from '../endpoint/providers.js';
import { type ControlConnection, type Name, SILENCE_MS } from './pingpong-control.js';
import { Link, type LinkParts, openEndpoint } from './pingpong-link.js';
import type { PingpongOptions } from './pingpong-options.js';

/** How often a wait for an event looks whether the other side is still there. */
const EVENT_SLICE_MS = 250;

/** What a run holds; `opened` in the order of opening. */
export interface Opening {
  readonly options: PingpongOptions;
  readonly control: ControlConnection;
  readonly opened: FabricObject[];
  readonly tell: (text: string) => void;
}

/** What fi_pingpong asks for; the prefix only for datagrams, since efa would demand one of RDM endpoints too. */
function hintsFor(options: PingpongOptions, remote: Name | undefined): Hints {
  const isDatagram = options.endpoint === 'dgram';
  const { provider, fabric, domain, size } = options;
  return {
    ...(provider === undefined ? {} : { providerName: provider }),
    ...(fabric === undefined ? {} : { fabricName: fabric }),
    ...(domain === undefined ? {} : { domainName: domain }),
    endpointType: `FI_EP_${options.endpoint.toUpperCase()}`,
    caps: [options.mode === 'tagged' ? 'FI_TAGGED' : 'FI_MSG'],
    mode: FI_CONTEXT | FI_CONTEXT2 | (isDatagram ? FI_MSG_PREFIX : 0n),
    memoryMode: ['FI_MR_LOCAL', 'FI_MR_VIRT_ADDR', 'FI_MR_ALLOCATED', 'FI_MR_PROV_KEY'],
    ...(isDatagram && typeof size === 'number' ? { maxMessageSize: size } : {}),
    ...(remote === undefined ? {} : { addressFormat: remote.format, destinationAddress: remote.address }),
  };
}

/** The first that matches, as fi_pingpong takes it. */
async function chooseInfo(opening: Opening, remote?: Name, source = opening.options.source): Promise<Info> {
  const { options } = opening;
  const target: GetInfoTarget = source === undefined ? {} : { node: source, flags: FI_SOURCE };
  const [info] = await getInfo(hintsFor(options, remote), target);
  if (info === undefined) throw new Error(nothingFound(options));
  return info;
}

function nothingFound(options: PingpongOptions): string {
  const asked = [
    `-e ${options.endpoint}`,
    `-m ${options.mode}`,
    ...(options.provider === undefined ? [] : [`-p '${options.provider}'`]),
    ...(options.fabric === undefined ? [] : [`-f '${options.fabric}'`]),
    ...(options.domain === undefined ? [] : [`-d '${options.domain}'`]),
    ...(options.source === undefined ? [] : [`-s ${options.source}`]),
    ...(options.endpoint === 'dgram' && typeof options.size === 'number'
      ? [`-S ${String(options.size)}`]
      : []),
  ];
  const type = `FI_EP_${options.endpoint.toUpperCase()}`;
  return `no provider offers ${asked.join(' ')}: \`fi_info -t ${type}\` lists what there is`;
}

function keep<T extends FabricObject>({ opened }: Opening, object: T): T {
  opened.push(object);
  return object;
}

/** An endpoint of type RDM or DGRAM with everything that it needs. */
async function openParts(opening: Opening, remote: Name | undefined): Promise<LinkParts> {
  let info = await chooseInfo(opening, remote);
  let name: SharedMemoryName | undefined;
  try {
    if (providerNamed(info.provider).sharedMemoryFiles) {
      // A file of our own in /dev/shm, so that it is known whose it is.
      name = SharedMemoryName.claim();
      info = await chooseInfo(opening, remote, name.name);
    }
    opening.tell(describe(info));
    const fabric = keep(opening, await Fabric.open(info));
    const events = keep(opening, await EventQueue.open(fabric));
    return await openEndpoint(info, fabric, events, opening.opened, name);
  } catch (error) {
    name?.release();
    throw error;
  }
}

/** RDM and DGRAM: the server's address goes to the client, then the client's to the server. */
export async function openUnconnected(opening: Opening): Promise<Link> {
  const { control, options, opened } = opening;
  const isClient = options.server !== undefined;
  let remote = isClient ? await control.receiveName() : undefined;
  const parts = await openParts(opening, remote);
  // One more for datagrams: the last message must find a buffer, though an earlier one was late.
  const link = await Link.open(parts, options, options.endpoint === 'dgram' ? 2 : 1, opened);
  const own = parts.endpoint.getName();
  if (parts.addresses !== undefined) opening.tell(`the fabric address ${parts.addresses.toText(own)}`);
  control.sendName({ format: parts.info.raw.addressFormat, address: own });
  remote ??= await control.receiveName();
  if (parts.addresses !== undefined) link.peer = parts.addresses.insert(remote.address);
  return link;
}

/** The next event, which must be of that name. */
async function expectEvent({ control }: Opening, events: EventQueue, name: string): Promise<FabricEvent> {
  const deadline = Date.now() + SILENCE_MS;
  for (;;) {
    const event = await events.sread(EVENT_SLICE_MS);
    if (event?.name === name) return event;
    if (event !== undefined && event.error !== 0)
      throw new Error(
        `no connection: ${errnoName(event.error)}${event.text === '' ? '' : `, ${event.text}`}`,
      );
    if (event !== undefined) throw new Error(`${event.name} came while ${name} was waited for`);
    if (control.lost !== undefined) throw new Error(`no ${name} came: ${control.lost.message}`);
    if (Date.now() > deadline) throw new Error(`no ${name} came within ${String(SILENCE_MS / 1000)} s`);
  }
}

/** MSG: the server listens on the fabric and tells where; the client connects there. */
export async function openConnected(opening: Opening): Promise<Link> {
  const { control, options, opened } = opening;
  const isClient = options.server !== undefined;
  const remote = isClient ? await control.receiveName() : undefined;
  const info = await chooseInfo(opening, remote);
  opening.tell(describe(info));
  const fabric = keep(opening, await Fabric.open(info));
  const events = keep(opening, await EventQueue.open(fabric));
  const request = isClient ? undefined : await listenFor(opening, info, fabric, events);
  const parts = await openEndpoint(request ?? info, fabric, events, opened);
  const link = await Link.open(parts, options, 1, opened);
  if (remote !== undefined) await parts.endpoint.connect(remote.address);
  else await parts.endpoint.accept();
  await expectEvent(opening, events, 'FI_CONNECTED');
  return link;
}

/** The request of the client. */
async function listenFor(opening: Opening, info: Info, fabric: Fabric, events: EventQueue): Promise<Info> {
  const passive = keep(opening, await PassiveEndpoint.open(fabric, info));
  passive.bind(events);
  await passive.listen();
  opening.control.sendName({ format: info.raw.addressFormat, address: passive.getName() });
  const { info: request } = await expectEvent(opening, events, 'FI_CONNREQ');
  if (request === undefined) throw new Error('a request for a connection came without its fi_info');
  return request;
}

function describe(info: Info): string {
  const { provider, fabricName, domainName, endpointType, maxMessageSize, injectSize } = info;
  return (
    `${provider}, fabric ${fabricName}, domain ${domainName}, ${endpointType}: messages up to ${String(maxMessageSize)} ` +
    `bytes, injected up to ${String(injectSize)}, prefix ${String(info.transmit.messagePrefixSize)}`
  );
}
