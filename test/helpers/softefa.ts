/** Programs on the software EFA device, started as a user starts them. */
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Ended, ProgramRun } from './program.js';

const command = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** How long a program may take to listen. */
const BOUND_MS = 15_000;

/** Why nothing can run on the device here; undefined: it can. */
export function whyNoDevice(): string | undefined {
  if (!existsSync(fileURLToPath(new URL('../../build/Release/softefa-nic', import.meta.url))))
    return "the software EFA device is not built: libibverbs' headers are not installed";
  const folders = (process.env.PATH ?? '').split(':');
  if (!folders.some((folder) => existsSync(join(folder, 'fi_pingpong'))))
    return 'fi_pingpong is not installed';
  return undefined;
}

/** A run of the command `libfabric`. */
export class CommandRun extends ProgramRun {
  constructor(args: readonly string[], env: NodeJS.ProcessEnv = {}, input: 'ignore' | 'pipe' = 'ignore') {
    super([process.execPath, command, ...args], env, input);
  }
}

/** Runs a program on the device to its end. */
export async function onDevice(program: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return await new CommandRun(['softefa', '--', ...program], env).ended;
}

/** A TCP port that nobody has now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Until somebody listens on a TCP port. Connecting would be taken for the one client that it waits for. */
export async function listening(port: number): Promise<void> {
  const place = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const LISTEN = '0A';
  const isThere = (): boolean =>
    ['/proc/net/tcp', '/proc/net/tcp6'].some((table) =>
      (existsSync(table) ? readFileSync(table, 'latin1') : '')
        .split('\n')
        .map((line) => line.trim().split(/\s+/))
        .filter((fields) => fields.length > 3)
        .some(([, local, , state]) => state === LISTEN && local.endsWith(place)),
    );
  const deadline = Date.now() + BOUND_MS;
  while (!isThere()) {
    if (Date.now() > deadline) throw new Error(`nobody listens on port ${port} after ${BOUND_MS} ms`);
    await delay(5);
  }
}
