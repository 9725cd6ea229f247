// What binding.gyp compiles:  native-sources.mjs FOLDER PATTERN
//
// Prints names of files that each include some of the folder's files whose names match. Compiling is mostly reading
// headers, Node's and the C++ library's, so it takes a third of the time that way. The files are written only where they
// change, since make goes by their age.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Several even of a small folder's, so that every core has something to do. */
const FILES_EACH = 7;

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const [folder, pattern] = process.argv.slice(2);
const matches = new RegExp(pattern);
const names = readdirSync(join(root, folder))
  .filter((name) => name.endsWith('.cc') && matches.test(name.slice(0, -'.cc'.length)))
  .sort();
const target = join(root, 'build/sources', folder);
mkdirSync(target, { recursive: true });

for (let start = 0; start < names.length; start += FILES_EACH) {
  const some = names.slice(start, start + FILES_EACH);
  const file = join(target, `${some[0].slice(0, -'.cc'.length)}-and-more.cc`);
  const text = some.map((name) => `#include "${relative(target, join(root, folder, name))}"\n`).join('');
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
  console.log(relative(root, file));
}
