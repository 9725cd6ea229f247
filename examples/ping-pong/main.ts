// Two processes that find each other, exchange messages with the data checked, and say how fast that was.
//
//   npm run demo [-- --provider shm]
//
// The launcher starts this file twice, as ping and as pong, hands each the other's contact, and prints what ping finds.
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type OpenOptions, explain, isAvailable, open } from 'libfabric';
import { type Row, ping } from './ping.js';
import { pong } from './pong.js';

type Role = 'ping' | 'pong';

/** What the processes tell the launcher; `contact` also what it tells them. */
type Note =
  | { kind: 'contact'; contact: string; provider: string; why: string }
  | { kind: 'row'; row: Row }
  | { kind: 'failed'; message: string };

/** No provider needs so long for it; something hangs. */
const PATIENCE_MS = 60_000;
const USAGE = 'usage: npm run demo [-- --provider NAME[,NAME…]], such as shm, tcp, sockets or efa';

/** The same for both processes. Loopback: a demo has no business on the network. Ignored where there are no IP addresses. */
function optionsFor(provider: string | undefined): OpenOptions<[]> {
  return {
    ...(provider === undefined ? {} : { provider: provider.split(',') }),
    node: '127.0.0.1',
    receive: { buffers: 32, size: 1048576 },
  };
}

// ---- ping and pong

function tell(note: Note): void {
  process.send?.(note);
}

/** The other side's contact, from the launcher. */
function otherContact(): Promise<string> {
  return new Promise((resolve) => {
    process.once('message', (note) => {
      resolve((note as { contact: string }).contact);
    });
  });
}

async function play(role: Role, provider: string | undefined): Promise<void> {
  // Whoever started this process is gone.
  process.once('disconnect', () => process.exit(1));
  const other = otherContact();
  const endpoint = await open(optionsFor(provider));
  try {
    tell({ kind: 'contact', contact: endpoint.contact, provider: endpoint.provider, why: endpoint.why });
    const peer = endpoint.peer(await other);
    if (role === 'pong') await pong(endpoint, peer);
    else
      await ping(endpoint, peer, (row) => {
        tell({ kind: 'row', row });
      });
  } finally {
    await endpoint.close();
  }
  process.removeAllListeners('disconnect');
  process.disconnect();
}

// ---- the launcher

const columns: readonly [title: string, width: number, (row: Row) => string][] = [
  ['size', 8, ({ size }) => sizeText(size)],
  ['round trips', 13, ({ roundTrips }) => String(roundTrips)],
  ['p50 µs', 10, ({ p50Microseconds }) => p50Microseconds.toFixed(1)],
  ['p99 µs', 10, ({ p99Microseconds }) => p99Microseconds.toFixed(1)],
  ['messages/s', 13, ({ messagesPerSecond }) => Math.round(messagesPerSecond).toLocaleString('en-US')],
  ['Gbit/s', 9, ({ gigabitsPerSecond }) => gigabitsPerSecond.toFixed(2)],
];

function sizeText(bytes: number): string {
  if (bytes >= 1048576) return `${bytes / 1048576} MiB`;
  return bytes >= 1024 ? `${bytes / 1024} KiB` : `${bytes} B`;
}

function printLine(cells: readonly string[]): void {
  console.log(cells.map((cell, index) => cell.padStart(columns[index][1])).join(''));
}

async function printChoice(provider: string | undefined): Promise<void> {
  const text = String(await explain(optionsFor(provider)));
  console.log(text.replaceAll(/^/gm, '  '));
}

/** Starts both, introduces them to each other, and prints what they say. Rejects where one fails, ends early or hangs. */
function launch(provider: string | undefined): Promise<void> {
  const children = {} as Record<Role, ChildProcess>;
  const contacts = new Map<Role, string>();
  let running = 2;
  return new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`ping and pong did not finish within ${PATIENCE_MS / 1000} s`));
    }, PATIENCE_MS);
    const onNote = (role: Role, note: Note): void => {
      if (note.kind === 'failed') {
        reject(new Error(`${role}: ${note.message}`));
      } else if (note.kind === 'row') {
        printLine(columns.map(([, , show]) => show(note.row)));
      } else {
        if (role === 'ping') printHeading(note.provider, note.why);
        contacts.set(role, note.contact);
        if (contacts.size < 2) return;
        children.ping.send({ contact: contacts.get('pong') });
        children.pong.send({ contact: contacts.get('ping') });
      }
    };
    const onEnd = (role: Role, code: number | null, signal: string | null): void => {
      if (code !== 0) reject(new Error(`${role} ended with ${signal ?? `exit code ${code}`}`));
      running -= 1;
      if (running > 0) return;
      clearTimeout(timer);
      resolve();
    };
    for (const role of ['pong', 'ping'] as const) {
      const args = ['--role', role, ...(provider === undefined ? [] : ['--provider', provider])];
      const child = fork(fileURLToPath(import.meta.url), args);
      child.on('message', (note) => {
        onNote(role, note as Note);
      });
      // 'close' comes after the last message, which says more than the exit code.
      child.once('close', (code, signal) => {
        onEnd(role, code, signal);
      });
      children[role] = child;
    }
  }).finally(() => {
    for (const child of Object.values(children)) child.kill('SIGKILL');
  });
}

function printHeading(provider: string, why: string): void {
  console.log(`\nprovider  ${provider}\nwhy       ${why}\n`);
  console.log(
    'Messages there and back (round trip), then one way; every byte is checked, which is part of the time.\n',
  );
  printLine(columns.map(([title]) => title));
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { provider: { type: 'string' }, role: { type: 'string' } } });
  const { provider, role } = values;
  if (role === 'ping' || role === 'pong') {
    await play(role, provider).catch((error: unknown) => {
      tell({ kind: 'failed', message: String(error) });
      process.exitCode = 1;
      process.removeAllListeners('disconnect');
      process.disconnect();
    });
    return;
  }
  const found = isAvailable();
  if (!found.available) throw new Error(`libfabric cannot be used: ${found.reason}. ${found.remedy}`);
  await printChoice(provider);
  await launch(provider);
}

await main().catch((error: unknown) => {
  const wrongUsage = error instanceof TypeError && 'code' in error;
  console.error(
    `demo: ${error instanceof Error ? error.message : String(error)}${wrongUsage ? `\n${USAGE}` : ''}`,
  );
  process.exitCode = 1;
});
