// All tests, or the parts that are named:  test.mjs [unit] [native] [asan] [efa] [debian13]
//
//   unit      the vitest suite on this machine's libfabric
//   native    C++ unit tests of what needs no Node, under ASan and UBSan, then under TSan
//   asan      the vitest files about lifecycle, with the addon itself under ASan
//   efa       suites of the binding on provider efa, over the software EFA device
//   debian13  the vitest suite in a Debian 13 root, on libfabric 2.1, then the efa suites there, and those of efa-direct
//
// A part that cannot run here is skipped with its reason; where CI is set that is a failure. The last line adds up.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const reports = join(root, 'out/reports');
const vitest = join(root, 'node_modules/vitest/vitest.mjs');
const jobs = String(availableParallelism());

class Skip extends Error {}

const onPath = (tool) =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => folder && existsSync(join(folder, tool)));

/** Runs a command whose output belongs to the tests'; answers its exit status. */
function run(command, args, env = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
  });
  return result.status ?? 1;
}

/** Runs a command whose output matters only if it fails. */
function build(command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status === 0) return true;
  console.log(`${stdout ?? ''}${stderr ?? ''}failed: ${[command, ...args].join(' ')}`);
  return false;
}

/** The tests that failed, to be said again at the end: of a long log, often only the end is kept. */
const failures = [];

function noteFailures(name, { testResults }) {
  for (const file of testResults) {
    const failed = file.assertionResults.filter(({ status }) => status === 'failed');
    for (const { fullName, failureMessages } of failed)
      failures.push(`${name}: ${fullName}: ${(failureMessages[0] ?? '').split('\n', 1)[0]}`);
    if (file.status === 'failed' && failed.length === 0)
      failures.push(`${name}: ${file.name}: ${(file.message ?? '').split('\n', 1)[0]}`);
  }
}

/** A failure that no test has counted: a crash, a build that failed, a provider skipped whole. */
const failure = { passed: 0, failed: 1, skipped: 0 };

/**
 * What providers take for themselves with each endpoint, which the tests make by the thousand and need little of: 64 MB
 * of tcp;ofi_rxm, and of efa 110 MB that take a second to register. A program's queues are as long as without these.
 */
const onDevice = { FI_EFA_RX_SIZE: '512', FI_EFA_TX_SIZE: '512' };
const smallBuffers = { FI_OFI_RXM_MSG_RX_SIZE: '512' };

/** Vitest writes its counts into a file. `before` is what to run it with. */
function runVitest(name, { before = [], filters = [], env = {} } = {}) {
  const report = join(reports, `${name}.json`);
  const errors = join(reports, `${name}.errors.json`);
  for (const file of [report, errors]) rmSync(file, { force: true });
  const [command, ...args] = [...before, 'node', vitest, 'run', ...filters];
  const status = run(command, args, {
    LIBFABRIC_TEST_REPORT: report,
    LIBFABRIC_TEST_ERRORS: errors,
    ...smallBuffers,
    ...env,
  });
  // What belongs to no test: a worker that died, a promise that nobody awaited.
  if (existsSync(errors))
    failures.push(...JSON.parse(readFileSync(errors, 'utf8')).map((error) => `${name}: ${error}`));
  if (!existsSync(report)) {
    failures.push(`${name}: vitest ended with status ${status} and left no report`);
    return failure;
  }
  const counts = JSON.parse(readFileSync(report, 'utf8'));
  noteFailures(name, counts);
  const failed = counts.numFailedTests;
  if (status !== 0 && failed === 0)
    failures.push(`${name}: vitest ended with status ${status}, though no test failed`);
  return {
    passed: counts.numPassedTests,
    failed: status !== 0 && failed === 0 ? 1 : failed,
    skipped: counts.numPendingTests + counts.numTodoTests,
  };
}

function nativeUnderSanitizer(sanitizer) {
  const folder = `out/cmake-${sanitizer}`;
  if (
    !build('cmake', ['-S', 'native', '-B', folder, `-DSANITIZE=${sanitizer}`]) ||
    !build('cmake', ['--build', folder, '--parallel', jobs])
  )
    return failure;
  // Newer kernels randomize addresses more than TSan's fixed map of them allows for.
  const fixed = spawnSync('setarch', ['--addr-no-randomize', 'true']).status === 0;
  const [command, ...args] = [
    ...(fixed ? ['setarch', '--addr-no-randomize'] : []),
    ...['ctest', '--test-dir', folder, '--verbose', '--no-tests=error'],
  ];
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: {
      ...process.env,
      ASAN_OPTIONS: 'detect_leaks=1:detect_stack_use_after_return=1',
      UBSAN_OPTIONS: 'print_stacktrace=1',
      TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1',
    },
  });
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const line of stdout.matchAll(/^\d+: (\d+) passed, (\d+) failed, (\d+) skipped$/gm)) {
    counts.passed += Number(line[1]);
    counts.failed += Number(line[2]);
    counts.skipped += Number(line[3]);
  }
  if (status !== 0 && counts.failed === 0) counts.failed = 1;
  for (const [line] of stdout.matchAll(/^\d+: (?:FAIL|fail)\b.*$/gm))
    failures.push(`native, ${sanitizer}: ${line}`);
  // The whole of it where something failed; else only what was skipped, and why.
  const shown =
    counts.failed > 0 ? `${stdout}${stderr}` : (stdout.match(/^\d+: skip .*$/gm) ?? []).join('\n');
  if (shown) console.log(shown);
  return counts;
}

/** The suites that hold on provider efa; docs/softefa.md says what does not, and on which libfabric. */
const efaSuites = [
  ...[
    'at-once',
    'atomic',
    'away',
    'backpressure',
    'close',
    'close-bound',
    'dead-peers',
    'deadline',
    'input',
    'late-failures',
    'many-peers',
    'neighbours',
    'open',
    'order',
    'ownership',
    'rma',
    'rma-end',
    'rma-input',
    'truncation',
  ].map((name) => `endpoint/${name}`),
  ...[
    'address-map',
    'address-vector',
    'at-once',
    'atomic',
    'atomic-vector',
    'batch',
    'collective',
    'connection',
    'counter',
    'datagram',
    'deferred-work',
    'enable',
    'engine',
    'info',
    'memory',
    'memory-region',
    'message',
    'message-vector',
    'multi-receive',
    'multicast',
    'objects',
    'options',
    'peek',
    'profile',
    'rma',
    'rma-vector',
    'scalable-endpoint',
    'tagged',
    'trigger',
    'wait',
    'wrong-key',
  ].map((name) => `fi/${name}`),
];

/** With LIBFABRIC_TEST_EFA=hardware on the machine's own device: scripts/efa-hardware-check.sh. */
const onHardware = process.env.LIBFABRIC_TEST_EFA === 'hardware';

/** The suites again whose way differs where the device itself reads and writes remote memory. */
const rdmaSuites = ['endpoint/atomic', 'endpoint/rma', 'fi/rma', 'fi/rma-vector', 'fi/wrong-key'];

/** Those that hold on efa-direct, which has no order, no tags, no software that makes several packets one message. */
const directSuites = [
  ...['away', 'close', 'close-bound', 'dead-peers', 'input', 'many-peers', 'neighbours', 'open'].map(
    (name) => `endpoint/${name}`,
  ),
  ...['address-vector', 'batch', 'enable', 'message', 'message-vector', 'wait'].map((name) => `fi/${name}`),
];
const directRdmaSuites = [
  ...['rma', 'rma-end', 'rma-input'].map((name) => `endpoint/${name}`),
  ...['counter', 'memory-region', 'rma', 'rma-vector', 'wrong-key'].map((name) => `fi/${name}`),
];

function runOnEfa(name, suites, before = [], more = {}, provider = 'efa') {
  return runVitest(name, {
    before: [...before, ...(onHardware ? [] : ['node', join(root, 'dist/cli/main.js'), 'softefa', '--'])],
    filters: suites.map((suite) => `test/${suite}.test.ts`),
    env: {
      LIBFABRIC_TEST_PROVIDERS: provider,
      LIBFABRIC_TEST_REQUIRED: provider,
      ...(onHardware ? {} : onDevice),
      ...more,
    },
  });
}

const parts = {
  unit: () => runVitest('unit'),

  native() {
    if (!onPath('cmake')) throw new Skip('cmake is not installed');
    const folder = join(root, 'test/native');
    if (!existsSync(folder) || !readdirSync(folder).some((name) => name.endsWith('.cc')))
      throw new Skip('there are no files in test/native');
    return add(nativeUnderSanitizer('address'), nativeUnderSanitizer('thread'));
  },

  asan() {
    if (!onPath('cmake')) throw new Skip('cmake is not installed');
    const cmakeJs = join(root, 'node_modules/cmake-js/bin/cmake-js');
    const folder = 'out/cmake-js-address';
    const addonAlone = ['--target', 'libfabric', '--parallel', jobs];
    if (
      !build(process.execPath, [
        cmakeJs,
        'build',
        '-d',
        'native',
        '-O',
        folder,
        '--CDSANITIZE=address',
        ...addonAlone,
      ])
    )
      return failure;
    // The sanitizer has to be there before anything else, since Node itself is built without it.
    const library = spawnSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout.trim();
    const env = {
      LD_PRELOAD: library,
      ASAN_OPTIONS: 'detect_leaks=0',
      UBSAN_OPTIONS: 'print_stacktrace=1',
      LIBFABRIC_ADDON: join(root, folder, 'Release/libfabric.node'),
    };
    // Else the tests would pass on the addon without the sanitizer, and nobody would see it.
    const probe = `import('libfabric').then((library) => {
      library.isAvailable();
      const maps = require('node:fs').readFileSync('/proc/self/maps', 'utf8');
      if (!maps.includes(process.env.LIBFABRIC_ADDON)) throw new Error('LIBFABRIC_ADDON was not loaded');
    })`;
    if (run(process.execPath, ['-e', probe], env) !== 0) return failure;
    // One provider for each way that the addon waits: by pauses, a wait set's descriptor, and fi_cq_sread, which matters
    // while something is awaited. The others differ in libfabric, which is not what the sanitizer sees.
    const providers = { LIBFABRIC_TEST_PROVIDERS: 'shm,tcp', LIBFABRIC_TEST_REQUIRED: 'shm' };
    const sockets = { LIBFABRIC_TEST_PROVIDERS: 'sockets', LIBFABRIC_TEST_REQUIRED: 'sockets' };
    return add(
      runVitest('asan', { filters: ['lifecycle'], env: { ...env, ...providers } }),
      runVitest('asan-sockets', {
        filters: ['lifecycle/ends', '--testNamePattern', 'sockets.*(receiving|closing)'],
        env: { ...env, ...sockets },
      }),
      // libfabric is built without it: what sockets reads of an endpoint that is gone shows by what freed memory is filled with.
      runVitest('asan-shared', {
        filters: ['fi/shared-context', 'fi/shared-connection', 'fi/trigger'],
        env: {
          ...env,
          ...sockets,
          ASAN_OPTIONS: `${env.ASAN_OPTIONS}:max_free_fill_size=65536:free_fill_byte=221`,
        },
      }),
    );
  },

  efa() {
    if (!onHardware && !existsSync(join(root, 'build/Release/softefa-nic')))
      throw new Skip("the software EFA device is not built: libibverbs' headers are not installed");
    const suite = runOnEfa('efa', efaSuites);
    if (onHardware) return suite;
    // libfabric 1.17 uses the device's RDMA only where it is told to.
    const rdma = { SOFTEFA_RDMA: '1', FI_EFA_USE_DEVICE_RDMA: '1' };
    return add(suite, runOnEfa('efa-rdma', rdmaSuites, [], rdma));
  },

  debian13() {
    if (process.getuid() !== 0) throw new Skip('a Debian 13 root needs root');
    if (!onPath('debootstrap') && !onPath('apt-get')) throw new Skip('debootstrap is not installed');
    const namespace = spawnSync('unshare', ['--mount', 'true'], { encoding: 'utf8' });
    if (namespace.status !== 0) throw new Skip(`no mount namespace can be made: ${namespace.stderr.trim()}`);
    const script = ['bash', join(root, 'scripts/debian13.sh')];
    if (run(script[0], [script[1], 'make']) !== 0) return failure;
    const before = [...script, 'run'];
    // The examples show how to use the package, which is the same on every libfabric, and so is how benchmarks are told.
    const notHere = ['test/examples.test.ts', 'test/bench/**', 'test/lifecycle/**'].flatMap((files) => [
      '--exclude',
      files,
    ]);
    // A process ends by way of the addon, which is the same too: on the providers that 2.x has changed most.
    const providers = { LIBFABRIC_TEST_PROVIDERS: 'shm,tcp', LIBFABRIC_TEST_REQUIRED: 'shm,tcp' };
    const suite = add(
      runVitest('debian13', { before, filters: notHere }),
      runVitest('lifecycle-debian13', { before, filters: ['test/lifecycle'], env: providers }),
    );
    return existsSync(join(root, 'build/Release/softefa-nic'))
      ? add(
          suite,
          runOnEfa('efa-debian13', efaSuites, before),
          runOnEfa('efa-rdma-debian13', rdmaSuites, before, { SOFTEFA_RDMA: '1' }),
          runOnEfa('efa-direct-debian13', directSuites, before, {}, 'efa-direct'),
          runOnEfa('efa-direct-rdma-debian13', directRdmaSuites, before, { SOFTEFA_RDMA: '1' }, 'efa-direct'),
        )
      : suite;
  },
};

function add(...counts) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const count of counts) for (const key of Object.keys(sum)) sum[key] += count[key];
  return sum;
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !Object.hasOwn(parts, name));
if (unknown.length > 0) {
  console.error(`no part ${unknown.join(', ')}: there are ${Object.keys(parts).join(', ')}`);
  process.exit(2);
}
mkdirSync(reports, { recursive: true });

let total = add();
const table = [];
for (const name of wanted.length > 0 ? wanted : Object.keys(parts)) {
  console.log(`\n== tests: ${name}`);
  const start = Date.now();
  let counts;
  let note = '';
  try {
    counts = parts[name]();
  } catch (error) {
    if (!(error instanceof Skip)) throw error;
    counts = process.env.CI ? failure : { passed: 0, failed: 0, skipped: 1 };
    note = `, ${process.env.CI ? 'could not run' : 'skipped'}: ${error.message}`;
  }
  total = add(total, counts);
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  const { passed, failed, skipped } = counts;
  table.push(`  ${name}: passed ${passed}, failed ${failed}, skipped ${skipped}, in ${seconds} s${note}`);
}
if (failures.length > 0) console.log(`\n== failed\n  ${failures.join('\n  ')}`);
console.log(`\n== tests, by part\n${table.join('\n')}`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1);
