// npm's install script, and `npm run build:native`: compiles the addon where that is possible and needed.
//
// A machine without libfabric's headers or without a compiler is no error for an install: the package is then there
// without its addon, `import 'libfabric'` works, and isAvailable() tells what to do. With --required it is an error.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(import.meta.url);
const required = process.argv.includes('--required');
const addon = join(root, 'build/Release/libfabric.node');
const stampFile = join(root, 'build/libfabric.stamp');
const headerFolders = ['/opt/amazon/efa/include', '/usr/include', '/usr/local/include'];

const sources = [
  'binding.gyp',
  'scripts/native-sources.mjs',
  ...['native', 'native/softefa'].flatMap(sourcesIn),
];
const headers = headerFolders.find((folder) => existsSync(join(folder, 'rdma/fabric.h')));
// The software EFA device is built where these are; nothing else needs them.
const verbs = headerFolders.some((folder) => existsSync(join(folder, 'infiniband/efadv.h')));
const stamp = sourcesStamp();

if (upToDate()) {
  if (required) console.log('addon: up to date');
} else if (!headers) {
  missing("libfabric's headers (rdma/fabric.h)", { apt: 'libfabric-dev', dnf: 'libfabric-devel' });
} else if (!['g++', 'make', 'python3'].every(onPath)) {
  const absent = ['g++', 'make', 'python3'].filter((tool) => !onPath(tool)).join(', ');
  missing(absent, { apt: 'g++ make python3', dnf: 'gcc-c++ make python3' });
} else {
  build();
}

function sourcesIn(folder) {
  return readdirSync(join(root, folder))
    .filter((name) => /\.(cc|h|map)$/.test(name))
    .sort()
    .map((name) => `${folder}/${name}`);
}

/** What the built addon depends on; an installed libfabric of another version or folder makes it stale too. */
function sourcesStamp() {
  const hash = createHash('sha256');
  for (const name of sources) hash.update(`${name}\0`).update(readFileSync(join(root, name)));
  if (headers) hash.update(headers).update(readFileSync(join(headers, 'rdma/fabric.h')));
  hash.update(
    `${require('node-addon-api/package.json').version} ${process.arch} ${verbs} ${process.env.CXXFLAGS ?? ''}`,
  );
  return hash.digest('hex');
}

function upToDate() {
  if (!existsSync(addon)) return false;
  if (existsSync(stampFile)) return readFileSync(stampFile, 'utf8') === stamp;
  // An addon that was put there ready made has no stamp: its age decides.
  const built = statSync(addon).mtimeMs;
  return sources.every((name) => statSync(join(root, name)).mtimeMs <= built);
}

function onPath(tool) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => folder && existsSync(join(folder, tool)));
}

function missing(what, packages) {
  const command =
    onPath('dnf') && !onPath('apt-get') ? `dnf install ${packages.dnf}` : `apt-get install ${packages.apt}`;
  console.error(`libfabric: the addon was not built, since ${what} could not be found.`);
  console.error(`libfabric: run 'sudo ${command}', then 'npm rebuild libfabric --foreground-scripts'.`);
  process.exit(required ? 1 : 0);
}

/** The project's own node-gyp, or the one that came with the package manager that runs this script. */
function nodeGyp() {
  try {
    return require.resolve('node-gyp/bin/node-gyp.js');
  } catch {
    const bundled = process.env.npm_config_node_gyp;
    if (bundled && existsSync(bundled)) return bundled;
  }
  const npm = join(
    dirname(process.execPath),
    '../lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js',
  );
  return existsSync(npm) ? npm : undefined;
}

function build() {
  const tool = nodeGyp();
  if (!tool) {
    console.error('libfabric: the addon was not built, since node-gyp could not be found.');
    console.error(
      "libfabric: run 'npm install --global node-gyp', then 'npm rebuild libfabric --foreground-scripts'.",
    );
    process.exit(required ? 1 : 0);
  }
  // One build at a time in this folder, since two would write the same files.
  const lock = onPath('flock') ? ['flock', join(root, 'build/libfabric.lock')] : [];
  const [command, ...args] = [
    ...lock,
    process.execPath,
    tool,
    'configure',
    'build',
    '--jobs',
    'max',
    '--loglevel',
    'warn',
  ];
  // Node's headers lie beside its binary in every official package: with them nothing is downloaded.
  const prefix = join(dirname(process.execPath), '..');
  if (existsSync(join(prefix, 'include/node/node_api.h'))) args.push('--nodedir', prefix);
  console.log(`addon: compiling ${sources.length - 2} files with libfabric's headers in ${headers}`);
  // Until it is done no stamp is right, and not none either: then the age of what was built before would decide.
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, 'unfinished');
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  // The compiler's warnings are always shown; make's progress only where something went wrong.
  if (status !== 0) process.stderr.write(stdout ?? '');
  process.stderr.write(stderr ?? '');
  if (status !== 0) {
    console.error(
      `libfabric: compiling the addon failed (${error?.message ?? signal ?? `exit code ${status}`}).`,
    );
    process.exit(1);
  }
  writeFileSync(stampFile, stamp);
}
