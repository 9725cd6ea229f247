// The examples, as a user runs them, and that the README says what they are.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { isAvailable } from 'libfabric';
import { Pattern } from '../examples/ping-pong/pattern.js';
import { type ProviderUnderTest, describeOnProviders, openOne, openOptions } from './helpers/providers.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
/** For what takes a second on an idle machine. */
const PATIENT = { timeout: 90_000 };

interface Outcome {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** Starts a program of examples/. It is killed at the test's end, should it still run. */
function start(
  program: string,
  args: readonly string[] = [],
  env: Record<string, string> = {},
): ChildProcess {
  const { LIBFABRIC_PROVIDER: _, ...inherited } = process.env;
  const child = spawn(process.execPath, [join(root, 'scripts/program.mjs'), `examples/${program}`, ...args], {
    cwd: root,
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  return child;
}

async function outcome(child: ChildProcess): Promise<Outcome> {
  const [[code, signal], stdout, stderr] = await Promise.all([
    once(child, 'exit') as Promise<[number | null, string | null]>,
    text(child.stdout!),
    text(child.stderr!),
  ]);
  return { code, signal, stdout, stderr };
}

function run(
  program: string,
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<Outcome> {
  return outcome(start(program, args, env));
}

describe('README', () => {
  const example = readFileSync(join(root, 'examples/hello/main.ts'), 'utf8');

  test('its first example is examples/hello, and short', () => {
    expect(/```ts\n(.*?)```/s.exec(readme)?.[1]).toBe(example);
    expect(example.trimEnd().split('\n').length).toBeLessThanOrEqual(15);
  });

  test.each([
    'README.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'docs/architecture.md',
    'docs/providers.md',
    'docs/performance.md',
  ])('what %s links to is there', (name) => {
    const folder = join(root, name, '..');
    const links = [...readFileSync(join(root, name), 'utf8').matchAll(/\]\(([^)#:]+)(#[^)]*)?\)/g)];
    const missing = links.map(([, file]) => file).filter((file) => !existsSync(join(folder, file)));
    expect(missing).toEqual([]);
  });

  test('the shortest program runs', PATIENT, async ({ skip }) => {
    const library = isAvailable();
    if (!library.available) skip(library.reason);
    const { code, stdout, stderr } = await run('hello');
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^\S+ says hello\n$/);
    expect(code).toBe(0);
  });
});

function commandLine(provider: ProviderUnderTest): string[] {
  const { node } = openOptions(provider);
  return ['--provider', provider.name, ...(node === undefined ? [] : ['--node', node])];
}

interface EchoServer {
  contact: string;
  contactFile: string;
  /** Sends SIGTERM, and gives what the server has printed to stderr and how it ended. */
  stop(): Promise<{ code: number | null; signal: string | null; stderr: string }>;
}

async function startEchoServer(provider: ProviderUnderTest): Promise<EchoServer> {
  const folder = mkdtempSync(join(tmpdir(), 'libfabric-echo-'));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  const contactFile = join(folder, 'contact');
  const server = start('echo-server/server', [...commandLine(provider), '--contact-file', contactFile]);
  const ended = once(server, 'exit') as Promise<[number | null, string | null]>;
  const errors = text(server.stderr!);
  const firstLine = once(createInterface(server.stdout!), 'line') as Promise<[string]>;
  const contact = await Promise.race([
    firstLine.then(([line]) => line),
    ended.then(async () => {
      throw new Error(`the server ended: ${await errors}`);
    }),
  ]);
  const stop: EchoServer['stop'] = async () => {
    server.kill('SIGTERM');
    const [code, signal] = await ended;
    return { code, signal, stderr: await errors };
  };
  return { contact, contactFile, stop };
}

describeOnProviders('the echo server', { timeoutMs: 90_000 }, (provider) => {
  const client = (args: string[]): Promise<Outcome> =>
    run('echo-server/client', [...commandLine(provider), ...args]);

  test('answers strangers, and ends with SIGTERM', async () => {
    const server = await startEchoServer(provider);
    expect(readFileSync(server.contactFile, 'utf8')).toBe(`${server.contact}\n`);
    const byFile = await client(['--contact-file', server.contactFile, 'one', 'two', 'three']);
    expect(byFile).toEqual({ code: 0, signal: null, stdout: 'one\ntwo\nthree\n', stderr: '' });
    const byText = await client(['--contact', server.contact]);
    expect(byText).toEqual({ code: 0, signal: null, stdout: 'hello\n', stderr: '' });
    expect(await server.stop()).toEqual({ code: 0, signal: null, stderr: '' });
  });

  test('goes on after a stranger who does not introduce himself, and one who lies', async () => {
    const server = await startEchoServer(provider);
    const endpoint = await openOne(provider);
    const peer = endpoint.peer(server.contact);
    await endpoint.send(peer, Buffer.from('who am I?'));
    // As introduce() would write it, for a contact of no provider.
    const lie = 'fabric:nowhere/FI_ADDR_STR/AAAA';
    await endpoint.send(
      peer,
      Buffer.concat([Buffer.from([0xfa, 0xb1, 0x1c, 0x01, 0, lie.length]), Buffer.from(lie)]),
    );
    const honest = await client(['--contact', server.contact, 'still there?']);
    expect(honest).toEqual({ code: 0, signal: null, stdout: 'still there?\n', stderr: '' });
    const { code, stderr } = await server.stop();
    expect(stderr).toContain('no answer: Error: somebody unknown, who did not introduce himself');
    expect(stderr).toContain(`no answer: FabricError: the contact '${lie}' cannot be used`);
    expect(code).toBe(0);
  });
});

test('the echo client asks for a contact', PATIENT, async () => {
  const { code, stderr } = await run('echo-server/client', ['hello']);
  expect(stderr).toContain('give the contact that the server printed');
  expect(code).toBe(1);
});

const small: readonly [string, string][] = [
  ['rma-write', 'the owner finds: hello there\nthe writer reads: there\n'],
  ['atomics-counter', '300 different numbers were drawn, the next is 300\n'],
  ['msg-server', 'FI_CONNECTED\nFI_CONNECTED\nthe server was told: hello\n'],
  ['multi-receive', 'one buffer of 1024 bytes took message 0, message 1, message 2, message 3\n'],
  ['collectives', [1, 2, 3].map((rank) => `member ${rank - 1} gave ${rank}0 and has 60\n`).join('')],
];

describe('the small examples', PATIENT, () => {
  test.each(small)('%s says what it did, is short, and in the README', async (name, said) => {
    expect(readme).toContain(`(examples/${name}/main.ts)`);
    const lines = readFileSync(join(root, `examples/${name}/main.ts`), 'utf8')
      .trimEnd()
      .split('\n');
    expect(lines.length).toBeLessThan(80);
    expect(await run(name)).toEqual({ code: 0, signal: null, stdout: said, stderr: '' });
  });

  test('run on the provider that is asked for, and say where it is not there', async () => {
    const [name, said] = small[0];
    const { code, stdout } = await run(name, ['--provider', 'shm']);
    expect([code, stdout]).toEqual([0, said]);
    for (const [other] of small) {
      const refused = await run(other, ['--provider', 'nosuch']);
      expect([other, refused.code]).toEqual([other, 1]);
      expect(refused.stderr).toMatch(/nosuch/);
    }
  });
});

// The demo fills some seconds on every provider; two kinds of them show what it does.
describeOnProviders('ping-pong', { providers: ['shm', 'tcp'], timeoutMs: 120_000 }, (provider) => {
  test('prints the provider, why, and a row for each size', async () => {
    const { code, stdout, stderr } = await run('ping-pong', ['--provider', provider.name]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toContain(`\nprovider  ${provider.name}\nwhy       ${provider.name}: ${provider.note}`);
    const rows = [
      ...stdout.matchAll(/^ +(\d+ (?:B|KiB|MiB)) +(\d+) +([\d.]+) +([\d.]+) +([\d,]+) +([\d.]+)$/gm),
    ];
    expect(rows.map(([, size]) => size)).toEqual(['0 B', '64 B', '1 KiB', '64 KiB', '1 MiB']);
    for (const [, , roundTrips, p50, p99, rate] of rows) {
      expect(Number(roundTrips)).toBeGreaterThan(0);
      expect(Number(p50)).toBeGreaterThan(0);
      expect(Number(p99)).toBeGreaterThanOrEqual(Number(p50));
      expect(Number(rate.replaceAll(',', ''))).toBeGreaterThan(0);
    }
  });
});

test("ping-pong's check finds every wrong byte, number and length", () => {
  const pattern = new Pattern(300);
  const message = new Uint8Array(300);
  pattern.write(message, 7);
  pattern.check(message, 7);
  for (let index = 0; index < message.length; index++) {
    message[index] ^= 1;
    expect(() => pattern.check(message, 7)).toThrow(`is wrong from byte ${index} on`);
    message[index] ^= 1;
  }
  expect(() => pattern.check(message, 8)).toThrow('message 8 of 300 bytes is wrong from byte 0 on');
  expect(() => pattern.check(message.subarray(1), 7)).toThrow('has 299 bytes instead of 300');
});

describe('ping-pong that cannot run', PATIENT, () => {
  test('says what to do without libfabric', async () => {
    const { code, stderr } = await run('ping-pong', [], { LIBFABRIC_PATH: '/nonexistent/libfabric.so.1' });
    expect(stderr).toMatch(
      /^demo: libfabric cannot be used: .*\/nonexistent\/libfabric\.so\.1.*Install libfabric: /,
    );
    expect(code).toBe(1);
  });

  test('says what to do without the addon', async () => {
    const { code, stderr } = await run('ping-pong', [], { LIBFABRIC_ADDON: '/nonexistent.node' });
    expect(stderr).toMatch(
      /^demo: libfabric cannot be used: the addon \/nonexistent\.node has not been built\. /,
    );
    expect(stderr).toContain('npm rebuild libfabric');
    expect(code).toBe(1);
  });

  test('names the provider that is not there', async ({ skip }) => {
    const library = isAvailable();
    if (!library.available) skip(library.reason);
    const { code, stderr } = await run('ping-pong', ['--provider', 'no-such-provider']);
    expect(stderr).toMatch(/^demo: p[io]ng: .*no-such-provider: this libfabric has no such provider/);
    expect(code).toBe(1);
  });

  test('shows its usage after a wrong option', async () => {
    const { code, stderr } = await run('ping-pong', ['--nonsense']);
    expect(stderr).toContain("Unknown option '--nonsense'");
    expect(stderr).toContain('usage: npm run demo');
    expect(code).toBe(1);
  });
});
