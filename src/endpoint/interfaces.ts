// Which of the machine's addresses an endpoint binds to.
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { InterfaceExplanation } from './types.js';

function kindOf(address: string, internal: boolean): InterfaceExplanation['kind'] {
  if (internal) return 'loopback';
  const text = address.toLowerCase();
  return text.startsWith('169.254.') || text.startsWith('fe80:') ? 'link-local' : 'routable';
}

/** Every address of the machine, in the system's order, IPv4 first within an interface. */
export function listInterfaces(): InterfaceExplanation[] {
  const list: InterfaceExplanation[] = [];
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    for (const { address, family, internal } of addresses ?? [])
      list.push({ name, address, family, kind: kindOf(address, internal) });
  }
  return list;
}

/** The address to bind where the program gave none: the first routable one, IPv4 before IPv6. */
export function defaultAddress(): string | undefined {
  const routable = listInterfaces().filter((entry) => entry.kind === 'routable');
  return (routable.find((entry) => entry.family === 'IPv4') ?? routable[0])?.address;
}

/** Whether the machine has this address. Host names are left to the provider, and so are wildcards. */
export function isForeignAddress(node: string): boolean {
  if (isIP(node) === 0 || node === '0.0.0.0' || node === '::' || node.startsWith('127.')) return false;
  const [plain] = node.toLowerCase().split('%');
  return !listInterfaces().some(({ address }) => address.toLowerCase() === plain);
}
