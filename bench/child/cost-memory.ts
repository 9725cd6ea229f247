// Whether memory stays where it is while very many messages pass: what the receiver's process has, a tenth after the other.
import { type Endpoint, type Peer, open } from 'libfabric';
import { type Result, type Settings, barrier, exchange, runChild, startMeter } from './link.js';

const BATCH = 64;
const STRETCHES = 10;
const MIB = 2 ** 20;

async function send(endpoint: Endpoint, peer: Peer, { size, iterations }: Settings): Promise<void> {
  const items = Array.from({ length: BATCH }, () => new Uint8Array(size));
  for (let left = iterations; left > 0; left -= BATCH)
    await endpoint.sendBatch(peer, left < BATCH ? items.slice(0, left) : items);
}

/** Resident bytes after each tenth of the messages. */
async function receive(endpoint: Endpoint, { iterations }: Settings): Promise<number[]> {
  const resident: number[] = [];
  const stretch = iterations / STRETCHES;
  let count = 0;
  for await (const batch of endpoint.messages({ batch: BATCH })) {
    count += batch.length;
    if (count >= (resident.length + 1) * stretch) resident.push(process.memoryUsage.rss());
    if (count === iterations) break;
  }
  return resident;
}

await runChild(async (settings) => {
  const { role, provider, iterations } = settings;
  const endpoint = await open({ provider, node: '127.0.0.1' });
  const peer = endpoint.peer(await exchange(endpoint.contact));
  await barrier();
  const stop = startMeter(settings);
  let result: Result;
  if (role === 'server') {
    const resident = await receive(endpoint, settings);
    const figures = {
      messages: iterations,
      afterFirstTenthInMiB: resident[0] / MIB,
      mostInMiB: Math.max(...resident) / MIB,
      atTheEndInMiB: resident[resident.length - 1] / MIB,
    };
    result = { ...stop(), figures };
  } else {
    await send(endpoint, peer, settings);
    result = stop();
  }
  await barrier();
  return { result, close: () => endpoint.close() };
});
