/** The command line of `libfabric pingpong`, which takes what libfabric's fi_pingpong takes. */
import { parseArgs } from 'node:util';
import { UsageError } from './usage.js';

export const USAGE = `usage: libfabric pingpong [OPTIONS]                  waits for a client, as the server
       libfabric pingpong [OPTIONS] SERVER_ADDRESS   is the client

Sends messages back and forth and says how long that took. The other side is this command, or libfabric's own
fi_pingpong, started with the same -p, -e, -I, -S, -c and -m.

  -p, --provider NAME            such as tcp, 'tcp;ofi_rxm', efa; default: the first that fits
  -e, --endpoint rdm|msg|dgram   type of the endpoint; default: dgram, as fi_pingpong
  -m, --mode msg|tagged          messages, or messages with a tag; default: msg
  -I, --iterations NUMBER        of each size; default: 10
  -S, --size BYTES|all           one size, or all from 0 to 6 MiB; default: 64 bytes to 1 MiB, in six steps
  -c, --check                    compare every byte
  -d, --domain NAME              such as a network interface
  -f, --fabric NAME              such as efa-direct
  -s, --source ADDRESS           the local address of the endpoint; default: the provider's choice
  -B, --source-port PORT         of the control connection, here; default: 47592 for the server, any for the client
  -P, --destination-port PORT    of the control connection, at the server; default: 47592
  -6, --ipv6                     the control connection is over IPv6
  -v, --verbose                  tell what happens
  -h, --help                     this text

The exit status is 0 where all messages came, 1 where something failed, 2 where the command line is wrong.
The control connection is neither authenticated nor encrypted, and the server listens on all interfaces.
`;

export const DEFAULT_PORT = 47_592;
const MAX_INT = 2 ** 31 - 1;

export interface PingpongOptions {
  readonly provider: string | undefined;
  readonly endpoint: 'rdm' | 'msg' | 'dgram';
  readonly mode: 'msg' | 'tagged';
  readonly iterations: number;
  /** Bytes, all sizes, or the usual six. */
  readonly size: number | 'all' | 'usual';
  readonly check: boolean;
  readonly domain: string | undefined;
  readonly fabric: string | undefined;
  readonly source: string | undefined;
  readonly sourcePort: number | undefined;
  readonly destinationPort: number;
  readonly ipv6: boolean;
  readonly verbose: boolean;
  /** Whom to connect to; undefined: this is the server. */
  readonly server: string | undefined;
}

const known = {
  provider: { type: 'string', short: 'p' },
  endpoint: { type: 'string', short: 'e' },
  mode: { type: 'string', short: 'm' },
  iterations: { type: 'string', short: 'I' },
  size: { type: 'string', short: 'S' },
  check: { type: 'boolean', short: 'c' },
  domain: { type: 'string', short: 'd' },
  fabric: { type: 'string', short: 'f' },
  source: { type: 'string', short: 's' },
  'source-port': { type: 'string', short: 'B' },
  'destination-port': { type: 'string', short: 'P' },
  ipv6: { type: 'boolean', short: '6' },
  verbose: { type: 'boolean', short: 'v' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** What is asked for; undefined: nothing but the help. */
export function parseOptions(args: readonly string[]): PingpongOptions | undefined {
  const { values, positionals } = understood(args);
  if (values.help === true) return undefined;
  const [server, surplus] = positionals;
  if (surplus !== undefined)
    throw new UsageError(`'${surplus}' is one address too many: there is one server`, USAGE);
  const endpoint = oneOf('endpoint', values.endpoint ?? 'dgram', ['rdm', 'msg', 'dgram']);
  const mode = oneOf('mode', values.mode ?? 'msg', ['msg', 'tagged']);
  if (endpoint === 'dgram' && mode === 'tagged')
    throw new UsageError('endpoints of type dgram have no tagged messages: -m tagged needs -e rdm', USAGE);
  return {
    provider: named('provider', values.provider),
    endpoint,
    mode,
    iterations: whole('iterations', values.iterations ?? '10', 0, MAX_INT),
    size: sizeOf(values.size),
    check: values.check === true,
    domain: named('domain', values.domain),
    fabric: named('fabric', values.fabric),
    source: named('source', values.source),
    sourcePort: values['source-port'] === undefined ? undefined : port('source-port', values['source-port']),
    destinationPort: port('destination-port', values['destination-port'] ?? String(DEFAULT_PORT)),
    ipv6: values.ipv6 === true,
    verbose: values.verbose === true,
    server: named('SERVER_ADDRESS', server),
  };
}

function understood(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: known, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), USAGE);
  }
}

function label(option: string): string {
  return option in known ? `-${known[option as keyof typeof known].short} (--${option})` : option;
}

function named(option: string, value: string | undefined): string | undefined {
  if (value === '') throw new UsageError(`${label(option)} is empty: leave it out, or give a name`, USAGE);
  return value;
}

/** Upper and lower case are the same, as for fi_pingpong. */
function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((word) => word === value.toLowerCase());
  if (found === undefined)
    throw new UsageError(`${label(option)} is '${value}', not ${allowed.join(', ')}`, USAGE);
  return found;
}

function whole(option: string, value: string, minimum: number, maximum: number): number {
  const number = /^\d+$/.test(value) ? Number(value) : -1;
  if (number < minimum || number > maximum)
    throw new UsageError(
      `${label(option)} is '${value}', not a whole number from ${String(minimum)} to ${String(maximum)}`,
      USAGE,
    );
  return number;
}

function port(option: string, value: string): number {
  return whole(option, value, 1, 65_535);
}

function sizeOf(value: string | undefined): PingpongOptions['size'] {
  if (value === undefined) return 'usual';
  return value.toLowerCase() === 'all' ? 'all' : whole('size', value, 0, MAX_INT);
}
