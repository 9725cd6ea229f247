/** `libfabric bench`: the benchmarks of the repository, which are not part of the published package. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../package-root.js';

const ELSEWHERE = `the benchmarks are in the repository of this package, not in what is installed, since they are compiled and
compare with packages that it does not depend on. In a checkout run

  npm run bench -- --help
`;

/** The exit status: 1 where something could not be run, 2 where there are no benchmarks. */
export async function bench(args: readonly string[], folder = packageRoot()): Promise<number> {
  if (!existsSync(join(folder, 'bench', 'run.ts'))) {
    process.stderr.write(`libfabric: ${ELSEWHERE}`);
    return 2;
  }
  // As a person would: it installs and compiles what is stale first, and says so on stderr.
  const child = spawn('npm', ['run', '--silent', 'bench', '--', ...args], { cwd: folder, stdio: 'inherit' });
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      resolve(code ?? 1);
    });
  });
}
