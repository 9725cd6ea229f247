// Peers by the dozen, and by the thousand.
import { expect, test } from 'vitest';
import type { Endpoint } from 'libfabric';
import { numbered, numberOf, range } from '../helpers/everyday.js';
import { describeOnProviders, openOne, type ProviderUnderTest } from '../helpers/providers.js';

/** Contacts that differ in their ports; nobody is there. */
function contactsLike(contact: string, count: number): string[] {
  const parts = contact.split('/');
  const address = Buffer.from(parts.pop() ?? '', 'base64url');
  return range(count).map((index) => {
    const other = Buffer.from(address);
    other.writeUInt16BE(10_000 + index, 2);
    return [...parts, other.toString('base64url')].join('/');
  });
}

async function openMany(provider: ProviderUnderTest, count: number): Promise<Endpoint[]> {
  return Promise.all(range(count).map(() => openOne(provider)));
}

describeOnProviders('thirty peers', { timeoutMs: 60_000 }, (provider) => {
  test('all send to one, which answers each', async () => {
    const hub = await openOne(provider);
    const others = await openMany(provider, 30);
    const toOthers = await hub.peers(others.map(({ contact }) => contact));
    const answers = others.map((other) => other.recv(64));
    const toHub = others.map((other) => other.peer(hub.contact));
    const sent = others.map((other, index) => other.send(toHub[index], numbered(index)));
    for (const _ of others) {
      const number = numberOf(await hub.recv(64));
      await hub.send(toOthers[number], numbered(number + 100));
    }
    await Promise.all(sent);
    for (const [index, answer] of answers.entries()) expect(numberOf(await answer)).toBe(index + 100);
    expect(hub.stats().peers).toBe(30);
  });
});

describeOnProviders('endpoints of this host', { providers: ['efa'] }, (provider) => {
  test('are taken in by the hundred', async () => {
    const hub = await openOne(provider);
    const [scheme, format, encoded] = hub.contact.split('/');
    const contacts = range(300).map((index) => {
      const address = Buffer.from(encoded, 'base64url');
      // The number of the queue pair, behind the GID.
      address.writeUInt16LE(20_000 + index, 16);
      return [scheme, format, address.toString('base64url')].join('/');
    });
    for (const contact of contacts) hub.peer(contact);
    expect(hub.stats().peers).toBe(300);
  });
});

const needsPorts = ({ ip, name }: ProviderUnderTest): string | undefined =>
  ip ? undefined : `${name} has no addresses that can be made up`;

describeOnProviders('two thousand peers', { timeoutMs: 60_000, unless: needsPorts }, (provider) => {
  // rxd does not end its close with more than 1024 addresses (test/lifecycle/hanging).
  const count = provider.name === 'udp;ofi_rxd' ? 1000 : 2000;

  test("are taken in, go again, and are in nobody's way", async () => {
    const hub = await openOne(provider);
    const other = await openOne(provider);
    const toHub = other.peer(hub.contact);
    const peers = await hub.peers(contactsLike(hub.contact, count));
    expect(new Set(peers.map(({ contact }) => contact)).size).toBe(count);
    const toOther = hub.peer(other.contact);
    const received = other.recv(64);
    await hub.send(toOther, numbered(1));
    expect(numberOf(await received)).toBe(1);
    const answer = hub.recv(64);
    await other.send(toHub, numbered(2));
    expect(numberOf(await answer)).toBe(2);
    expect(hub.stats().peers).toBe(count + 1);
    for (const peer of peers) peer.close();
    expect(hub.stats().peers).toBe(1);
  });
});
