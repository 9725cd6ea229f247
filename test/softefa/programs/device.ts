// The software devices of this process: the NICs behind them, libfabric's objects on them, and peers in other processes.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Endpoint } from 'libfabric';
import * as fi from 'libfabric/fi';

/** The two devices of a run with --devices 2. */
export const ours = { provider: 'efa', domain: 'rdmap0s6-rdm' } as const;
export const theirs = { provider: 'efa', domain: 'rdmap0s7-rdm' } as const;

/** The process that is the NIC of a device of ours. */
export function nicOf(device: string): number {
  const socket = `softefa-nic\0${process.env.SOFTEFA_DIRECTORY}/${device}.sock`;
  const isIt = (pid: string): boolean => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(socket);
    } catch {
      return false; // it has ended meanwhile
    }
  };
  const pid = readdirSync('/proc').find((name) => /^\d+$/.test(name) && isIt(name));
  if (pid === undefined) throw new Error(`no NIC has ${socket}`);
  return Number(pid);
}

/** What the everyday layer asks for, of one fabric. */
export function hintsOf(fabricName: string, more: fi.Hints = {}): fi.Hints {
  return {
    providerName: 'efa',
    fabricName,
    endpointType: 'FI_EP_RDM',
    caps: ['FI_MSG', 'FI_SOURCE'],
    mode: fi.FI_CONTEXT | fi.FI_CONTEXT2,
    memoryMode: ['FI_MR_LOCAL', 'FI_MR_VIRT_ADDR', 'FI_MR_ALLOCATED', 'FI_MR_PROV_KEY'],
    threading: 'FI_THREAD_SAFE',
    addressVectorType: 'FI_AV_TABLE',
    ...more,
  };
}

/** Which of the provider's fabrics there are. libfabric 1.x lists its only one whatever name is asked for. */
export async function listFabrics(): Promise<readonly string[]> {
  const [direct] = await fi.getInfo(hintsOf('efa-direct'));
  return direct.fabricName === 'efa-direct' ? ['efa', 'efa-direct'] : ['efa'];
}

/** Of endpoints whose operation tables are not all there: efa-direct's, else efa's for datagrams. */
export async function bareHints(): Promise<fi.Hints> {
  if ((await listFabrics()).includes('efa-direct')) return hintsOf('efa-direct');
  return hintsOf('efa', {
    endpointType: 'FI_EP_DGRAM',
    mode: fi.FI_CONTEXT | fi.FI_CONTEXT2 | fi.FI_MSG_PREFIX,
    threading: 'FI_THREAD_DOMAIN',
  });
}

/** An endpoint of the layer of libfabric's objects. Nobody binds an event queue. */
export interface Side {
  readonly info: fi.Info;
  readonly queue: fi.CompletionQueue;
  readonly addresses: fi.AddressVector;
  readonly endpoint: fi.Endpoint;
  /** Registered, of 64 KiB. */
  readonly memory: fi.Memory;
  close(): Promise<void>;
}

/** `prepare` is what else is to be done with the endpoint before it is enabled. */
export async function openSide(
  hints: fi.Hints,
  capacity = 64,
  prepare?: (endpoint: fi.Endpoint) => void,
): Promise<Side> {
  const [info] = await fi.getInfo(hints);
  const fabric = await fi.Fabric.open(info);
  const domain = await fi.Domain.open(fabric, info);
  const queue = await fi.CompletionQueue.open(domain, { capacity, format: 'FI_CQ_FORMAT_DATA' });
  const addresses = await fi.AddressVector.open(domain);
  const endpoint = await fi.Endpoint.open(domain, info);
  endpoint.bind(queue);
  endpoint.bind(addresses);
  prepare?.(endpoint);
  await endpoint.enable();
  const memory = fi.Memory.allocate(65536);
  const region = await fi.MemoryRegion.register(domain, memory);
  const objects = [endpoint, region, queue, addresses, domain, fabric];
  const close = async (): Promise<void> => {
    for (const object of objects) await object.close();
  };
  return { info, queue, addresses, endpoint, memory, close };
}

/** One message there and back, so that both sides know each other. */
export async function meet(a: Endpoint, b: Endpoint): Promise<void> {
  const there = b.recv(64);
  await a.send(a.peer(b.contact), new Uint8Array(8));
  await there;
  const back = a.recv(64);
  await b.send(b.peer(a.contact), new Uint8Array(8));
  await back;
}

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A line of input. */
export const toldTo = (): Promise<void> =>
  new Promise((resolve) => process.stdin.once('data', () => resolve()));

export function said(error: unknown): { code: unknown; message: string } {
  const { code, message } = error as Error & { code?: unknown };
  return { code, message };
}

/** The running program once more, as a peer in a process of its own, which says things in lines of JSON. */
export class OtherProcess {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(...args: readonly string[]) {
    this.child = spawn(process.execPath, [process.argv[1], ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#lines = createInterface(this.child.stdout!)[Symbol.asyncIterator]();
  }

  async next<Answer>(): Promise<Answer> {
    const { value } = await this.#lines.next();
    return JSON.parse(String(value)) as Answer;
  }

  /** Stops it, and waits until it stands still. */
  async stop(): Promise<void> {
    this.child.kill('SIGSTOP');
    const state = (): string | undefined =>
      /\) (\w)/.exec(readFileSync(`/proc/${this.child.pid}/stat`, 'utf8'))?.[1];
    while (state() !== 'T') await turn();
  }

  async kill(): Promise<void> {
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }
}

export function say(answer: unknown): void {
  console.log(JSON.stringify(answer));
}
