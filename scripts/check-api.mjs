// Is all of libfabric there? Lists each function that the headers of libfabric declare as bound, left out or missing:
//
//   check-api.mjs            counts, and whatever is missing; fails on that
//   check-api.mjs --list     every function
//
// Also whether src/fi/generated is what these headers give. The headers are this machine's and Debian 13's, 1.17 and 2.1. A function is bound if the addon calls it and a doc
// comment of src/ names it. scripts/api.json says what is left out, and why; which are arithmetic that src/ does itself;
// and what is planned, which is told of but does not fail.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { stale } from './constants.mjs';
import { debian13Headers, machineHeaders, readHeaders, root } from './headers.mjs';

const list = process.argv.includes('--list');
const { leftOut, computed, planned } = JSON.parse(readFileSync(join(root, 'scripts/api.json'), 'utf8'));

function textOf(folder, extensions) {
  const files = readdirSync(join(root, folder), { recursive: true }).filter((name) =>
    extensions.some((extension) => name.endsWith(extension)),
  );
  return files.map((name) => readFileSync(join(root, folder, name), 'utf8')).join('\n');
}

// A comment that names a function is no call of it; what dlsym() looks up is a string, and what somebody else is to
// call is an argument.
const native = textOf('native', ['.cc', '.h']).replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, '');
const documented = [...textOf('src', ['.ts']).matchAll(/\/\*\*[\s\S]*?\*\//g)].join('\n');

const done = [];

/** How a function stands; with what is wrong about that, where something is. */
function judge(name) {
  const [table, member = table] = name.split('.');
  const called = computed.includes(name) || new RegExp(`\\b${member}\\s*[(),]|"${member}"`).test(native);
  const named = new RegExp(`\\b${member}\\b`).test(documented);
  if (called && named && planned[name] !== undefined) done.push(name);
  if (called && named)
    return leftOut[name] === undefined
      ? { state: 'bound' }
      : { state: 'bound', wrong: 'bound, though scripts/api.json says that it is left out' };
  if (leftOut[name] !== undefined) return { state: 'left out', why: leftOut[name] };
  if (planned[name] !== undefined) return { state: 'planned', why: planned[name] };
  const lacks = called ? 'the addon calls it, but no doc comment names it' : 'no call of it in native/';
  return { state: 'missing', wrong: `missing: ${lacks}` };
}

function* headers() {
  const own = machineHeaders();
  if (own === undefined)
    throw new Error("libfabric's headers are not installed: apt-get install libfabric-dev");
  yield readHeaders(own);
  const { folder, reason } = debian13Headers();
  if (folder !== undefined) yield readHeaders(folder);
  else if (process.env.CI) throw new Error(`no headers of libfabric 2.1: ${reason}`);
  else console.log(`skipped: libfabric 2.1: ${reason}`);
}

const wrong = new Set();
const known = new Set();
const comes = new Map();
const folders = [];
for (const { version, folder, functions } of headers()) {
  folders.push(folder);
  const counts = { bound: 0, 'left out': 0, planned: 0, missing: 0 };
  for (const [name, file] of functions) {
    known.add(name);
    const judged = judge(name);
    counts[judged.state]++;
    if (judged.wrong !== undefined) wrong.add(`${name} (${file}): ${judged.wrong}`);
    if (judged.state === 'planned') comes.set(judged.why, (comes.get(judged.why) ?? new Set()).add(name));
    if (list)
      console.log(`  ${judged.state.padEnd(9)} ${name}${judged.why === undefined ? '' : `: ${judged.why}`}`);
  }
  console.log(
    `libfabric ${version} (${folder}): ${functions.size} functions: ${counts.bound} bound, ${counts['left out']} left ` +
      `out, ${counts.planned + counts.missing} missing, of which ${counts.planned} are planned`,
  );
}
for (const [why, names] of comes) console.log(`missing, planned: ${why}: ${[...names].join(', ')}`);
if (done.length > 0) console.log(`no longer planned, but bound: ${[...new Set(done)].join(', ')}`);
// What is in neither cannot be told without the newer of the two.
if (folders.length === 2) {
  for (const name of [...Object.keys(leftOut), ...computed, ...Object.keys(planned)])
    if (!known.has(name)) wrong.add(`${name}: in scripts/api.json, but in no header`);
  for (const name of await stale(folders)) wrong.add(`${name} is stale: run node scripts/constants.mjs`);
}

for (const line of wrong) console.error(`check-api: ${line}`);
process.exit(wrong.size === 0 ? 0 : 1);
