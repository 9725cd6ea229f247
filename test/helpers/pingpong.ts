/** Pairs of a ping-pong: this package's command and libfabric's own program. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { type Ended, ProgramRun } from './program.js';
import { freePort, listening } from './softefa.js';

const command = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export type Program = readonly [string, ...string[]];
export const ours: Program = [process.execPath, command, 'pingpong'];
export const theirs: Program = ['fi_pingpong'];
/** The same on a software EFA device of its own. */
export const onDevice = (program: Program): Program => [
  ...([process.execPath, command, 'softefa', '--'] as const),
  ...program,
];

/**
 * Both programs take the first address that the provider lists: let that be of the loopback interface. Not for sockets:
 * passive endpoints of libfabric 2.1's refuse every connection then, of programs in C too.
 */
const loopback = { FI_NET_IFACE: 'lo', FI_TCP_IFACE: 'lo', FI_UDP_IFACE: 'lo' };

/** Why there is nobody in C to talk with; undefined: there is. */
export function whyNoProgram(): string | undefined {
  const folders = (process.env.PATH ?? '').split(':');
  const isThere = folders.some((folder) => existsSync(join(folder, 'fi_pingpong')));
  return isThere ? undefined : 'fi_pingpong is not installed (Debian: libfabric-bin)';
}

export interface PairOptions {
  server: Program;
  client: Program;
  /** Of both. */
  args?: readonly string[];
  serverArgs?: readonly string[];
  clientArgs?: readonly string[];
  /** Where the client finds the server; default 127.0.0.1. */
  host?: string;
}

/** A server and its client, started in this order. */
export async function startPair(options: PairOptions): Promise<{ server: ProgramRun; client: ProgramRun }> {
  const port = await freePort();
  const args = options.args ?? [];
  const server = new ProgramRun(
    [...options.server, ...args, ...(options.serverArgs ?? []), '-B', String(port)],
    loopback,
  );
  await Promise.race([listening(port), server.ended]);
  const client = new ProgramRun(
    [
      ...options.client,
      ...args,
      ...(options.clientArgs ?? []),
      '-P',
      String(port),
      options.host ?? '127.0.0.1',
    ],
    loopback,
  );
  return { server, client };
}

/** Both to their end. */
export async function runPair(options: PairOptions): Promise<{ server: Ended; client: Ended }> {
  const { server, client } = await startPair(options);
  const [ofServer, ofClient] = await Promise.all([server.ended, client.ended]);
  return { server: ofServer, client: ofClient };
}

/** The first columns of the table: size, sent, acknowledged, total. */
function rowsOf(stdout: string): string[][] {
  const [header, ...rows] = stdout.trimEnd().split('\n');
  expect(header).toBe('bytes   #sent   #ack     total       time     MB/sec    usec/xfer   Mxfers/sec');
  return rows.map((row) => row.trim().split(/\s+/).slice(0, 4));
}

/** Both succeed and print the same table, whose first column is answered. */
export async function expectTable(options: PairOptions): Promise<string[]> {
  const { server, client } = await runPair(options);
  for (const { stderr, code } of [server, client]) {
    expect(stderr).toBe('');
    expect(code).toBe(0);
  }
  const rows = rowsOf(client.stdout);
  expect(rowsOf(server.stdout)).toEqual(rows);
  return rows.map(([size]) => size);
}
