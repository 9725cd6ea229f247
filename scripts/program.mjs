// Runs a program of this checkout that is not published, compiled or not:  program.mjs examples/ping-pong [its args]
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const name = process.argv[2] ?? '';
const candidates = [
  `out/${name}.js`,
  `out/${name}/main.js`,
  `out/${name}/index.js`,
  `${name}.mjs`,
  `${name}/main.mjs`,
];
const file = candidates.map((candidate) => join(root, candidate)).find((candidate) => existsSync(candidate));

if (name === '' || file === undefined) {
  console.error(`no program '${name}': none of ${candidates.join(', ')} is there`);
  process.exit(2);
}
// As if node had been started with it.
process.argv.splice(1, 2, file);
await import(pathToFileURL(file).href);
