#!/usr/bin/env node
/** The command of the package: `libfabric SUBCOMMAND …`. */
import { bench } from './bench.js';
import { softefa } from './softefa.js';
import { UsageError } from './usage.js';

const USAGE = `usage: libfabric softefa [OPTIONS] -- COMMAND [ARGUMENTS]
       libfabric pingpong [OPTIONS] [SERVER_ADDRESS]
       libfabric bench [OPTIONS]
       libfabric --help | SUBCOMMAND --help

subcommands:
  bench     measures this package beside C programs and what else Node programs have; needs a checkout of the repository
  pingpong  sends messages back and forth with itself or with libfabric's fi_pingpong, checks them, says how fast it was
  softefa   runs a command on software EFA devices: any program that uses libfabric's efa provider, without EFA hardware
`;

async function main(args: readonly string[]): Promise<number> {
  const [subcommand, ...rest] = args;
  switch (subcommand) {
    case 'bench':
      return await bench(rest);
    case 'pingpong':
      return await (await import('./pingpong.js')).pingpong(rest);
    case 'softefa':
      return await softefa(rest);
    case '--help':
    case '-h':
      process.stdout.write(USAGE);
      return 0;
    case undefined:
      throw new UsageError('a subcommand is missing', USAGE);
    default:
      throw new UsageError(`there is no subcommand '${subcommand}'`, USAGE);
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isUsage = error instanceof UsageError;
  process.stderr.write(`libfabric: ${error instanceof Error ? error.message : String(error)}\n`);
  if (isUsage) process.stderr.write(`\n${error.usage}`);
  process.exitCode = isUsage ? 2 : 1;
}
