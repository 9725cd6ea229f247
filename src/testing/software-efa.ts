/** What is told to the NICs of software EFA devices while they run. native/softefa/control.h has the lines. */
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { type Socket, connect } from 'node:net';
import { join } from 'node:path';
import { checkBytes, checkInteger, rangeError, unavailableError } from '../fi/errors.js';

/** What a program posts to a device: messages, or reads and writes of remote memory. */
export type EfaOperation = 'send' | 'read' | 'write';

/** Operations of a device that fail on purpose. */
export interface EfaFault {
  /**
   * What the device says of them, as in `CompletionError.providerErrno`: 1 to 18, as in docs/softefa.md. 10, no receive
   * buffer, is tried again by the provider, unless flow control is off.
   */
  readonly status: number;
  /** The first that fails, counted from now among those that match. Default: 1, the next. */
  readonly nth?: number;
  /** How many fail from there on; 0: all. Default: 1. */
  readonly count?: number;
  /** Only these. Default: whatever is posted. */
  readonly operation?: EfaOperation;
  /** Only those to the device of this address: `endpoint.address`, or what `getName()` of `libfabric/fi` answers. Default: any. */
  readonly peer?: Uint8Array;
}

/** What a device's packets meet on their way out. What is left out stays as it is. */
export interface Cable {
  /** How many packets of a million are lost. */
  readonly lossPerMillion?: number;
  /** How long every packet takes, in microseconds. */
  readonly latencyMicroseconds?: number;
  /** Packets are held back for random times up to this, in microseconds, and overtake each other. */
  readonly reorderMicroseconds?: number;
  /** Of all that is random, which starts anew. */
  readonly seed?: number;
}

const CONTROL = '.control';
const MAX_STATUS = 18;
const GID_BYTES = 16;

/** The device of an EFA address, in IPv6's notation. */
function gidOf(address: Uint8Array): string {
  const bytes = checkBytes('peer', address);
  if (bytes.length < GID_BYTES)
    throw rangeError('peer', bytes.length, 'an EFA address', 'It is what endpoint.address has');
  const view = new DataView(bytes.buffer, bytes.byteOffset, GID_BYTES);
  return Array.from({ length: 8 }, (_, group) => view.getUint16(2 * group).toString(16)).join(':');
}

/** Words of a line, of the values that are given. */
function words(values: Readonly<Record<string, number | undefined>>): string {
  return Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}=${value}`)
    .join('');
}

function checkOptional(
  argument: string,
  value: number | undefined,
  minimum = 0,
  maximum = Number.MAX_SAFE_INTEGER,
): number | undefined {
  return value === undefined ? undefined : checkInteger(argument, value, minimum, maximum);
}

/** A software EFA device of this process, as long as the command lives that `libfabric softefa` runs. */
export class SoftwareEfaDevice {
  /** Its name, such as `rdmap0s6`; its domains are `rdmap0s6-rdm` and `rdmap0s6-dgrm`. */
  readonly name: string;
  readonly #socket: string;

  /** @internal */
  constructor(name: string, socket: string) {
    this.name = name;
    this.#socket = socket;
  }

  /**
   * Makes operations fail that programs post to this device. Each call adds a rule of its own; where several match, the
   * earliest says what comes of it.
   *
   * @throws RangeError or TypeError for what is no such fault; FabricError ERR_FABRIC_UNAVAILABLE where the device is gone.
   */
  async fail(fault: EfaFault): Promise<void> {
    const { status, nth, count, operation, peer } = fault;
    const numbers = words({
      status: checkInteger('status', status, 1, MAX_STATUS),
      nth: checkOptional('nth', nth, 1),
      count: checkOptional('count', count),
    });
    if (operation !== undefined && !['send', 'read', 'write'].includes(operation))
      throw rangeError('operation', operation, "'send', 'read' or 'write'");
    const which = operation === undefined ? '' : ` operation=${operation}`;
    const whose = peer === undefined ? '' : ` peer=${gidOf(peer)}`;
    await this.#tell(`fail${numbers}${which}${whose}`);
  }

  /**
   * Cuts this device off from the device of an address, or from all: no packet comes or goes, until `mend()`. The provider
   * says 13 of a peer that has answered before, 15 of one that has not, after `SOFTEFA_UNRESPONSIVE_MS`.
   */
  async cut(peer?: Uint8Array): Promise<void> {
    await this.#tell(peer === undefined ? 'cut' : `cut peer=${gidOf(peer)}`);
  }

  /** Ends what `cut()` began, for the device of an address, or for all. */
  async mend(peer?: Uint8Array): Promise<void> {
    await this.#tell(peer === undefined ? 'mend' : `mend peer=${gidOf(peer)}`);
  }

  /** Makes the device's cable worse, or better. */
  async setCable(cable: Cable): Promise<void> {
    const { lossPerMillion, latencyMicroseconds, reorderMicroseconds, seed } = cable;
    const numbers = words({
      loss_per_million: checkOptional('lossPerMillion', lossPerMillion, 0, 1_000_000),
      latency_us: checkOptional('latencyMicroseconds', latencyMicroseconds),
      reorder_us: checkOptional('reorderMicroseconds', reorderMicroseconds),
      seed: checkOptional('seed', seed),
    });
    await this.#tell(`cable${numbers}`);
  }

  /**
   * Takes all of it back, and the rules of SOFTEFA_FAIL: no operation fails on purpose, nobody is cut off, and the cable is as
   * the other variables of the environment make it.
   */
  async clear(): Promise<void> {
    await this.#tell('clear');
  }

  async #tell(line: string): Promise<void> {
    const socket = connect(this.#socket);
    try {
      const answer = await answerTo(socket.setEncoding('utf8'), line);
      if (answer !== 'ok')
        throw unavailableError(`the device ${this.name} refused it: ${answer}`, OTHER_VERSION);
    } catch (error) {
      if (!(error instanceof Error && 'syscall' in error)) throw error;
      throw unavailableError(`the device ${this.name} does not answer: ${error.message}`, AS_LONG);
    } finally {
      socket.destroy();
    }
  }
}

const AS_LONG = "It lives as long as the command that 'libfabric softefa' runs";
const OTHER_VERSION = 'Build the package again: its device is of another version';

async function answerTo(socket: Socket, line: string): Promise<string> {
  await once(socket, 'connect');
  socket.write(`${line}\n`);
  let text = '';
  for await (const part of socket) {
    text += part as string;
    if (text.endsWith('\n')) return text.trimEnd();
  }
  return 'it said nothing';
}

/**
 * The software EFA devices that this process runs on, in their order.
 *
 * @throws FabricError ERR_FABRIC_UNAVAILABLE where `libfabric softefa` has not started it.
 */
export function softwareEfaDevices(): readonly SoftwareEfaDevice[] {
  const folder = process.env.SOFTEFA_DIRECTORY ?? '';
  if (folder === '' || !existsSync(folder))
    throw unavailableError(
      'this process has no software EFA devices: SOFTEFA_DIRECTORY names none',
      "Start it with 'libfabric softefa -- COMMAND'",
    );
  return readdirSync(folder)
    .filter((name) => name.endsWith(CONTROL))
    .map((name) => name.slice(0, -CONTROL.length))
    .sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
    .map((name) => new SoftwareEfaDevice(name, join(folder, `${name}${CONTROL}`)));
}
