// Where the package's own files are. By its name and not by this file's place, which is another one in dist/.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** A file of what the build has made, such as the addon. Throws where this code was copied away from its package. */
export function built(name: string): string {
  const root = dirname(createRequire(import.meta.url).resolve('libfabric/package.json'));
  return join(root, 'build/Release', name);
}
