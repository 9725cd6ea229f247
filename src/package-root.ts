// Where the package's own files are. By its name and not by this file's place, which is another one in dist/.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** The folder of the package: node_modules/libfabric, or a checkout. Throws where this code was copied away from it. */
export function packageRoot(): string {
  return dirname(createRequire(import.meta.url).resolve('libfabric/package.json'));
}

/** A file of what the build has made, such as the addon. */
export function built(name: string): string {
  return join(packageRoot(), 'build/Release', name);
}
