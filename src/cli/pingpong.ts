/** `libfabric pingpong`: messages back and forth with itself or with libfabric's own fi_pingpong. */
import type { FabricObject } from '../fi/index.js';
import type { ControlConnection } from './pingpong-control.js';
import { openControl } from './pingpong-control.js';
import { type Link, closeAll } from './pingpong-link.js';
import { openConnected, openUnconnected } from './pingpong-open.js';
import { type PingpongOptions, USAGE, parseOptions } from './pingpong-options.js';
import { Pattern } from './pingpong-pattern.js';
import { headerLine, resultLine } from './pingpong-report.js';

const USUAL_SIZES = [64, 256, 1024, 4096, 65_536, 1_048_576];
const LAST = Buffer.from('fin\0');

/** The sizes of a run, as both sides work them out by themselves. */
export function sizesOf({ size }: Pick<PingpongOptions, 'size'>, longest: number): number[] {
  if (typeof size === 'number') return [size];
  if (size === 'usual') return USUAL_SIZES.filter((usual) => usual <= longest);
  const sizes = [0, 1];
  for (let power = 2; power <= longest; power *= 2) sizes.push(power, power + power / 2);
  return sizes.filter((each) => each <= longest);
}

/** A run with a link that is there. */
class Pingpong {
  readonly #options: PingpongOptions;
  readonly #control: ControlConnection;
  readonly #link: Link;
  readonly #isClient: boolean;
  readonly #sending = new Pattern();
  readonly #receiving = new Pattern();

  constructor(options: PingpongOptions, control: ControlConnection, link: Link) {
    this.#options = options;
    this.#control = control;
    this.#link = link;
    this.#isClient = options.server !== undefined;
  }

  async run(): Promise<void> {
    const { size } = this.#options;
    if (typeof size === 'number' && size > this.#link.info.maxMessageSize)
      throw new Error(
        `-S ${String(size)} is longer than the provider's longest message of ` +
          `${String(this.#link.info.maxMessageSize)} bytes`,
      );
    let isFirst = true;
    for (const each of sizesOf(this.#options, this.#link.longest)) {
      const line = await this.#exchange(each);
      if (line === undefined) continue;
      process.stdout.write(isFirst ? `${headerLine()}\n${line}\n` : `${line}\n`);
      isFirst = false;
    }
    await this.#finish();
  }

  /** All iterations of one size; what there is to print. */
  async #exchange(size: number): Promise<string | undefined> {
    const { iterations } = this.#options;
    await this.#control.sync(this.#isClient);
    const start = process.hrtime.bigint();
    for (let iteration = 0; iteration < iterations; iteration++) {
      if (this.#isClient) await this.#send(size);
      await this.#receive(size);
      if (!this.#isClient) await this.#send(size);
    }
    const microseconds = Number(process.hrtime.bigint() - start) / 1000;
    const acknowledged = await this.#control.shareCount(this.#isClient, iterations);
    if (iterations === 0) return undefined;
    return resultLine({ size, sent: iterations, acknowledged, microseconds });
  }

  async #send(size: number): Promise<void> {
    if (this.#options.check) this.#sending.fill(this.#link.outgoing.subarray(0, size));
    await this.#link.send(size);
  }

  async #receive(size: number): Promise<void> {
    const { bytes, buffer } = await this.#link.receive();
    if (bytes.byteLength !== size)
      throw new Error(
        `a message has ${String(bytes.byteLength)} bytes, not ${String(size)}: is the other side started with the same -S?`,
      );
    if (this.#options.check) this.#receiving.check(bytes);
    await this.#link.post(buffer);
  }

  /** Both sides send a last message and wait for the other's, which says that all before it came. */
  async #finish(): Promise<void> {
    // The other side may have all that it needs, and go; but then its last message is here soon.
    this.#control.onLost = (reason) => this.#link.failSoon(reason);
    this.#link.outgoing.set(LAST);
    await this.#link.send(LAST.byteLength, 'transmit');
    const { bytes } = await this.#link.receive();
    // What it says is not looked at: with a prefix fi_pingpong writes the text where the prefix is.
    if (bytes.byteLength !== LAST.byteLength)
      throw new Error(
        `the last message has ${String(bytes.byteLength)} bytes, not ${String(LAST.byteLength)}`,
      );
  }
}

export async function pingpong(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (options === undefined) {
    process.stdout.write(USAGE);
    return 0;
  }
  const tell = (text: string): void => {
    if (options.verbose) process.stderr.write(`pingpong: ${text}\n`);
  };
  const control = await openControl(options, tell);
  tell('the control connection is there');
  const opened: FabricObject[] = [];
  let link: Link | undefined;
  try {
    const opening = { options, control, opened, tell };
    link = await (options.endpoint === 'msg' ? openConnected(opening) : openUnconnected(opening));
    tell('the other side is known');
    const known = link;
    control.onLost = (reason) => known.fail(reason);
    if (control.lost !== undefined) throw control.lost;
    await new Pingpong(options, control, link).run();
    tell('done');
    return 0;
  } finally {
    control.close();
    link?.stop();
    await closeAll(opened);
  }
}
