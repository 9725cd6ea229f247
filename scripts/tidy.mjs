// clang-tidy over the C++ that out/cmake-js/compile_commands.json tells of:  tidy.mjs CLANG_TIDY
//
// Most of its time goes into the headers of the system, Node and libfabric, which it goes through once for each file
// that it is given. So it is given files that each include eight of ours. What cannot be read together, since two of
// them give one name to different things, is checked again one by one.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const [clangTidy] = process.argv.slice(2);
if (clangTidy === undefined) throw new Error('say which clang-tidy');

const GROUP = 8;
const work = join(root, 'out/tidy');
const good = join(work, 'good');
mkdirSync(good, { recursive: true });

/** The project's files, each with how it is compiled: that of its first target. */
function compiledFiles() {
  const commands = JSON.parse(readFileSync(join(root, 'out/cmake-js/compile_commands.json'), 'utf8'));
  const files = new Map();
  for (const { file, command, directory } of commands) {
    const flags = command.replace(/ -o \S+/, '').replace(` -c ${file}`, '');
    if (!files.has(file)) files.set(file, { flags, directory });
  }
  return files;
}

/** Files with the same flags, some at a time. */
function grouped(files) {
  const byFlags = new Map();
  for (const [file, { flags, directory }] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    // Those of different folders use different namespaces, all of them.
    const key = JSON.stringify([flags, directory, dirname(file), basename(file).startsWith('softefa')]);
    byFlags.set(key, [...(byFlags.get(key) ?? []), file]);
  }
  return [...byFlags.values()].flatMap((same) =>
    Array.from({ length: Math.ceil(same.length / GROUP) }, (_, index) =>
      same.slice(index * GROUP, (index + 1) * GROUP),
    ),
  );
}

/** What decides about every file: the rules, the tool and all headers of ours. */
function common() {
  const hash = createHash('sha256');
  const headers = ['native', 'native/softefa', 'test/native'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.h'))
      .map((name) => `${folder}/${name}`),
  );
  for (const file of ['.clang-tidy', 'native/CMakeLists.txt', ...headers])
    hash.update(readFileSync(join(root, file)));
  return hash.update(spawnSync(clangTidy, ['--version'], { encoding: 'utf8' }).stdout).digest('hex');
}

const shared = common();
const stampOf = (files) => {
  const hash = createHash('sha256').update(shared);
  for (const file of files) hash.update(readFileSync(file));
  return join(good, hash.digest('hex').slice(0, 32));
};

/** Runs clang-tidy; answers what it says of our files, or undefined where it has nothing to say. */
function check(file, database) {
  const child = spawn(
    clangTidy,
    ['-p', database, `--config-file=${join(root, '.clang-tidy')}`, '--quiet', file],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let said = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (said += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (errors += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      // stderr counts the warnings in the system's headers, too.
      const wrong = errors.split('\n').filter((line) => line.includes('error:'));
      resolve(
        code === 0 ? undefined : `${said}${wrong.join('\n')}` || `clang-tidy ended with ${String(code)}`,
      );
    });
  });
}

async function checkGroup(files, together) {
  const stamp = stampOf(files);
  if (existsSync(stamp)) return true;
  let said = files.length > 1 ? [await check(together, work)] : [];
  if (files.length === 1 || said[0]?.includes('[clang-diagnostic-error]')) {
    if (files.length > 1)
      console.log(`checked one by one, since they do not go together: ${files.join(' ')}`);
    said = [];
    for (const file of files) said.push(await check(file, join(root, 'out/cmake-js')));
  }
  const wrong = said.filter((text) => text !== undefined);
  for (const text of wrong) console.log(text);
  if (wrong.length === 0) writeFileSync(stamp, '');
  return wrong.length === 0;
}

const files = compiledFiles();
const groups = grouped(files).map((group, index) => ({
  group,
  together: join(work, `together-${String(index)}.cc`),
}));
for (const name of readdirSync(work)) if (name.startsWith('together-')) rmSync(join(work, name));
for (const { group, together } of groups)
  writeFileSync(together, group.map((file) => `#include "${file}"  // NOLINT\n`).join(''));
writeFileSync(
  join(work, 'compile_commands.json'),
  JSON.stringify(
    groups.map(({ group, together }) => {
      const { flags, directory } = files.get(group[0]);
      return { directory, file: together, command: `${flags} -c ${together}` };
    }),
  ),
);

let isGood = true;
const waiting = [...groups];
await Promise.all(
  Array.from({ length: availableParallelism() }, async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      isGood = (await checkGroup(next.group, next.together)) && isGood;
  }),
);
process.exit(isGood ? 0 : 1);
