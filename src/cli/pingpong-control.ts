/**
 * The control connection of fi_pingpong: over TCP the sides trade the addresses of their endpoints, and keep in step.
 *
 * A program in C reads each field with one call and no loop, so each message is written with one.
 */
import { once } from 'node:events';
import { type Socket, connect, createServer } from 'node:net';
import { endianness } from 'node:os';
import { DEFAULT_PORT, type PingpongOptions } from './pingpong-options.js';

/** How long the other side may be silent, or take to be reached. Waiting for a client has no end. */
export const SILENCE_MS = 60_000;
const MAX_ADDRESS = 1024;
const COUNT_BYTES = 10;

/** An endpoint's address, as it is told. */
export interface Name {
  /** enum of address formats (fi_info.addr_format). */
  readonly format: number;
  readonly address: Uint8Array;
}

export class ControlConnection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #lost: Error | undefined;
  #waiting: (() => void) | undefined;
  /** Called where the other side goes. */
  onLost: ((reason: Error) => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#waiting?.();
    });
    socket.on('end', () => this.#loses('the other side has ended the control connection'));
    socket.on('error', (error) => this.#loses(`the control connection broke: ${error.message}`));
    socket.on('close', () => this.#loses('the control connection is closed'));
  }

  /** Why nothing more will come; undefined: the other side is there. */
  get lost(): Error | undefined {
    return this.#lost;
  }

  #loses(what: string): void {
    if (this.#lost !== undefined) return;
    this.#lost = new Error(`${what}; its own output may say why`);
    this.#waiting?.();
    this.onLost?.(this.#lost);
  }

  /** The next bytes, as many as asked for. */
  async #next(count: number, what: string): Promise<Buffer> {
    const deadline = Date.now() + SILENCE_MS;
    while (this.#received.byteLength < count) {
      if (this.#lost !== undefined) throw new Error(`no ${what} came: ${this.#lost.message}`);
      if (Date.now() >= deadline)
        throw new Error(`no ${what} came within ${String(SILENCE_MS / 1000)} s over the control connection`);
      await this.#arrival(deadline - Date.now());
    }
    const bytes = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return bytes;
  }

  async #arrival(boundMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, boundMs);
      this.#waiting = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#waiting = undefined;
  }

  #expect(bytes: Buffer, wanted: string, what: string): void {
    if (bytes.toString('latin1') !== wanted)
      throw new Error(
        `the other side sent ${JSON.stringify(bytes.toString('latin1'))} as ${what}: ` +
          'is it a pingpong with the same -I and -S?',
      );
  }

  /** Tells this side's address: its length in network order, its format in the host's, then the address. */
  sendName({ format, address }: Name): void {
    const header = new DataView(new ArrayBuffer(8));
    header.setUint32(0, address.byteLength);
    header.setUint32(4, format, endianness() === 'LE');
    this.#socket.write(Buffer.concat([Buffer.from(header.buffer), address]));
  }

  async receiveName(): Promise<Name> {
    const length = (await this.#next(4, 'address')).readUInt32BE();
    if (length === 0 || length > MAX_ADDRESS)
      throw new Error(`an address of ${String(length)} bytes was announced: is the other side a pingpong?`);
    const format = await this.#next(4, 'address format');
    const address = await this.#next(length, 'address');
    return { format: endianness() === 'LE' ? format.readUInt32LE() : format.readUInt32BE(), address };
  }

  /** Both sides are ready for the next size. */
  async sync(isClient: boolean): Promise<void> {
    if (isClient) this.#socket.write('q\0');
    const [wanted, what] = isClient
      ? ['a\0', 'an answer that it is ready']
      : ['q\0', 'word that it is ready'];
    this.#expect(await this.#next(2, what), wanted, what);
    if (!isClient) this.#socket.write('a\0');
  }

  /** The client tells how many messages it got; both answer that number. */
  async shareCount(isClient: boolean, count: number): Promise<number> {
    if (isClient) {
      this.#socket.write(String(count).padEnd(COUNT_BYTES, '\0'));
      this.#expect(await this.#next(7, 'receipt'), 'cnt ok\0', 'a receipt');
      return count;
    }
    const text = (await this.#next(COUNT_BYTES, 'count')).toString('latin1').replace(/\0+$/, '');
    if (!/^\d+$/.test(text)) this.#expect(Buffer.from(text), '0', 'a number of messages');
    this.#socket.write('cnt ok\0');
    return Number(text);
  }

  close(): void {
    this.onLost = undefined;
    this.#lost ??= new Error('this side has ended the control connection');
    this.#socket.end();
    // The other side may never end its half.
    this.#socket.unref();
  }
}

/** Waits for the one client. */
async function serve(options: PingpongOptions, tell: (text: string) => void): Promise<ControlConnection> {
  const server = createServer({ pauseOnConnect: false });
  const host = options.ipv6 ? '::' : '0.0.0.0';
  const port = options.sourcePort ?? DEFAULT_PORT;
  server.listen({ host, port, ipv6Only: options.ipv6 });
  await once(server, 'listening').catch((error: unknown) => {
    throw new Error(
      `port ${String(port)} cannot be listened on: ${messageOf(error)}; choose another with -B`,
    );
  });
  tell(`waiting for a client on port ${String(port)}`);
  const [socket] = (await once(server, 'connection')) as [Socket];
  server.close();
  return new ControlConnection(socket);
}

async function reach(host: string, options: PingpongOptions): Promise<ControlConnection> {
  const port = options.destinationPort;
  const socket = connect({
    host,
    port,
    family: options.ipv6 ? 6 : 4,
    ...(options.sourcePort === undefined ? {} : { localPort: options.sourcePort }),
  });
  const bound = AbortSignal.timeout(SILENCE_MS);
  await once(socket, 'connect', { signal: bound }).catch((error: unknown) => {
    socket.destroy();
    throw new Error(
      `no server at ${host}, port ${String(port)}: ${messageOf(error)}; start one first, with the same options, and ` +
        'give its -B as -P here',
    );
  });
  return new ControlConnection(socket);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export async function openControl(
  options: PingpongOptions,
  tell: (text: string) => void,
): Promise<ControlConnection> {
  return options.server === undefined ? serve(options, tell) : reach(options.server, options);
}
