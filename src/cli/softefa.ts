/** `libfabric softefa`: runs a command on software EFA devices, whose NICs live as long as the command does. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { built } from '../package-root.js';
import { type SoftwareDevice, countersOf, devicesOf, writeSysfs } from './softefa-sysfs.js';
import { UsageError } from './usage.js';

const USAGE = `usage: libfabric softefa [OPTIONS] -- COMMAND [ARGUMENTS]

Runs COMMAND with software EFA devices in place of hardware. libfabric's own efa provider does not notice. Commands that
are started separately have devices of their own and reach each other, over UDP on the loopback interface.

  --devices NUMBER   how many devices COMMAND sees, 1 to 16; default: SOFTEFA_DEVICES, else 1
  --force            run on a machine that has RDMA devices of its own, which COMMAND then does not see
  --help             this text

Variables of the environment:
  SOFTEFA_ADDRESS           IPv4 address of the NICs; default: 127.0.0.1. Nothing listens beyond it
  SOFTEFA_PORT              UDP port of the first NIC, the others follow; default: any free one
  SOFTEFA_RDMA              1: the devices read and write remote memory by themselves, as from EFA's second generation on;
                            default: 0
  SOFTEFA_SEED              of all that is random below; default: 1
  SOFTEFA_LOSS_PER_MILLION  how many packets of a million are lost
  SOFTEFA_LATENCY_US        how long every packet takes
  SOFTEFA_REORDER_US        packets are held back for random times up to this, and overtake each other
  SOFTEFA_FAIL              operations that fail: 'status=9 nth=3 count=2 operation=send peer=GID', rules with ';' between
                            them; docs/softefa.md says more. Programs do it while they run by 'libfabric/testing'
  SOFTEFA_UNRESPONSIVE_MS   of silence until a peer counts as lost; default: 5000
  SOFTEFA_RNR_US            the first pause after a peer had no receive buffer; it doubles five times; default: 500
  SOFTEFA_MEMLOCK           1: registered memory counts against RLIMIT_MEMLOCK (ulimit -l), root's too; default: 0
  SOFTEFA_FORK_UNSAFE       1: fork() endangers registered memory, as on kernels before 5.13
`;

const MAX_DEVICES = 16;
/** How long a NIC may take to end. */
const NIC_END_MS = 2000;
/** What the device consists of; scripts/install.mjs put it there. */
const library = built('libsoftefa.so');
const nicProgram = built('softefa-nic');

interface Options {
  readonly devices: number;
  readonly force: boolean;
  readonly command: readonly [string, ...string[]];
}

/** What is asked for; undefined: nothing but the help. */
function parse(args: readonly string[]): Options | undefined {
  const separator = args.indexOf('--');
  const own = separator < 0 ? args : args.slice(0, separator);
  const { values } = understood(own);
  if (values.help === true) return undefined;
  const [program, ...rest] = separator < 0 ? [] : args.slice(separator + 1);
  if (program === undefined || program === '') throw new UsageError("'-- COMMAND' is missing", USAGE);
  const asked = values.devices ?? setting('SOFTEFA_DEVICES') ?? '1';
  const devices = /^\d+$/.test(asked) ? Number(asked) : 0;
  if (devices < 1 || devices > MAX_DEVICES)
    throw new UsageError(`the number of devices is '${asked}', not 1 to ${MAX_DEVICES}`, USAGE);
  return { devices, force: values.force === true, command: [program, ...rest] };
}

/** A variable; an empty one counts as none, as everywhere in libfabric. */
function setting(name: string): string | undefined {
  const value = process.env[name];
  return value === '' ? undefined : value;
}

function understood(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        devices: { type: 'string' },
        force: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), USAGE);
  }
}

/** A real device is not for playing with. */
function refuseRealDevices(): void {
  const folder = '/sys/class/infiniband';
  const there = existsSync(folder) ? readdirSync(folder) : [];
  if (there.length > 0)
    throw new Error(`this machine has RDMA devices (${there.join(', ')}): with --force they are left unused`);
}

function requireBuilt(): void {
  if (existsSync(library) && existsSync(nicProgram)) return;
  throw new Error(
    "the software EFA device is not built, since libibverbs' headers were not there: " +
      "run 'sudo apt-get install libibverbs-dev' (dnf: rdma-core-devel), then 'npm rebuild libfabric --foreground-scripts'",
  );
}

/** One NIC. It ends when its standard input does, however this process ends. */
class NicProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  /** `places`: of its socket, its control socket and its counters. */
  constructor(places: readonly string[], index: number) {
    const first = Number(setting('SOFTEFA_PORT') ?? 0);
    const port = first === 0 ? '0' : String(first + index);
    this.#child = spawn(nicProgram, places, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, SOFTEFA_PORT: port },
    });
    this.#ended = new Promise((resolve) => this.#child.once('close', resolve).once('error', resolve));
    // Writing to it is never tried; that it has gone is told by 'close'.
    this.#child.stdin?.on('error', () => undefined);
  }

  /** Once programs can open the device. */
  async ready(): Promise<void> {
    const said = new Promise<boolean>((resolve) => this.#child.stdout?.once('data', () => resolve(true)));
    if ((await Promise.race([said, this.#ended])) !== true) throw new Error('a NIC could not be started');
  }

  async end(): Promise<void> {
    this.#child.stdin?.end();
    // One that was stopped, which is how a network is cut, does not notice.
    const bound = setTimeout(() => this.#child.kill('SIGKILL'), NIC_END_MS);
    await this.#ended;
    clearTimeout(bound);
  }
}

/** Runs the command to its end and answers its exit status, 128 and the number of the signal where one ended it. */
async function runCommand(command: Options['command'], env: NodeJS.ProcessEnv): Promise<number> {
  const [program, ...args] = command;
  const child = spawn(program, args, { stdio: 'inherit', env });
  // A terminal's interrupt reaches the command too, which decides; this process stays to clean up after it.
  process.on('SIGINT', () => undefined);
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  return await new Promise<number>((resolve, reject) => {
    child.once('error', (error) => reject(new Error(`${program} could not be started: ${error.message}`)));
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? 'SIGKILL']));
  });
}

function environmentFor(folder: string, sysfs: string): NodeJS.ProcessEnv {
  const preloaded = process.env.LD_PRELOAD;
  return {
    ...process.env,
    SOFTEFA_DIRECTORY: folder,
    SYSFS_PATH: sysfs,
    // After what is there: a sanitizer has to be first.
    LD_PRELOAD: preloaded ? `${preloaded}:${library}` : library,
  };
}

export async function softefa(args: readonly string[]): Promise<number> {
  const options = parse(args);
  if (options === undefined) {
    process.stdout.write(USAGE);
    return 0;
  }
  requireBuilt();
  if (!options.force) refuseRealDevices();
  const devices = devicesOf(options.devices);
  const folder = mkdtempSync(join(tmpdir(), 'softefa-'));
  const nics: NicProcess[] = [];
  try {
    const sysfs = writeSysfs(folder, devices, (setting('SOFTEFA_RDMA') ?? '0') !== '0');
    const placesOf = ({ name }: SoftwareDevice): string[] => [
      join(folder, `${name}.sock`),
      join(folder, `${name}.control`),
      countersOf(sysfs, name),
    ];
    nics.push(...devices.map((device, index) => new NicProcess(placesOf(device), index)));
    await Promise.all(nics.map((nic) => nic.ready()));
    return await runCommand(options.command, environmentFor(folder, sysfs));
  } finally {
    await Promise.all(nics.map((nic) => nic.end()));
    rmSync(folder, { recursive: true, force: true });
  }
}
