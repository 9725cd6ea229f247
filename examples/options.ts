// The command line of the small examples: --provider and --node. Without either, on this machine only.
import { parseArgs } from 'node:util';

/** Where to open endpoints, for open(). */
export function place(): { provider?: string; node?: string } {
  const { values } = parseArgs({ options: { provider: { type: 'string' }, node: { type: 'string' } } });
  const { provider, node = provider === undefined ? '127.0.0.1' : undefined } = values;
  return { ...(provider === undefined ? {} : { provider }), ...(node === undefined ? {} : { node }) };
}
