// What a peer costs that is only known: memory, and the latency of messages to one that is there, among so many.
import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Endpoint, type Peer, open } from 'libfabric';
import { type Settings, barrier, exchange, runChild, startMeter, statistics } from './link.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Addresses that nobody has, all of this host: a struct sockaddr_in each. */
function* addresses(count: number): Generator<Uint8Array> {
  const AF_INET = 2;
  const PORT = 9;
  for (let number = 1; number <= count; number++) {
    const address = Buffer.alloc(16);
    address.writeUInt16LE(AF_INET, 0);
    address.writeUInt16BE(PORT, 2);
    // 127.1.0.0 and what follows.
    address.writeUInt32BE(0x7f010000 + number, 4);
    yield address;
  }
}

interface Memory {
  heap: number;
  native: number;
}

/** JavaScript's heap, and what else of the process is resident. */
function memory(): Memory {
  // Twice: what the first one's finalizers let go of is found by the second.
  collect();
  collect();
  const { rss, heapTotal, heapUsed } = process.memoryUsage();
  return { heap: heapUsed, native: rss - heapTotal };
}

async function roundTrips(endpoint: Endpoint, peer: Peer, settings: Settings): Promise<Float64Array> {
  const { role, size, iterations } = settings;
  const data = new Uint8Array(size);
  const times = new Float64Array(iterations);
  let previous = performance.now();
  for (let done = 0; done < iterations; done++) {
    if (role === 'client') await endpoint.send(peer, data);
    await endpoint.recv(data);
    if (role === 'server') await endpoint.send(peer, data);
    const now = performance.now();
    times[done] = now - previous;
    previous = now;
  }
  return times;
}

await runChild(async (settings) => {
  const { role, provider, peers = 1 } = settings;
  const endpoint = await open({ provider, node: '127.0.0.1' });
  const peer = endpoint.peer(await exchange(endpoint.contact));
  await barrier();
  await roundTrips(endpoint, peer, { ...settings, iterations: settings.warmUp });
  const before = memory();
  // The real one is the first.
  const known = role === 'client' ? await endpoint.peers([...addresses(peers - 1)]) : [];
  const after = memory();
  await barrier();
  const stop = startMeter(settings);
  const times = await roundTrips(endpoint, peer, settings);
  const used = stop();
  if (role === 'server') return { result: used, close: () => endpoint.close() };
  const figures: Record<string, number> = { latencyInMicroseconds: statistics(times).p50 };
  if (known.length > 0) {
    figures.heapPerPeerInBytes = (after.heap - before.heap) / known.length;
    figures.nativePerPeerInBytes = (after.native - before.native) / known.length;
  }
  return { result: { ...used, figures }, close: () => endpoint.close() };
});
