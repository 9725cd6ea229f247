// A stream of messages over the everyday layer: the client sends, the server receives and measures.
import { performance } from 'node:perf_hooks';
import { type Endpoint, type Peer, open } from 'libfabric';
import { type Result, type Settings, barrier, exchange, runChild, startMeter } from './link.js';

const BATCH = 64;

async function sendEach(endpoint: Endpoint, peer: Peer, size: number, count: number): Promise<void> {
  const data = new Uint8Array(size).fill(0x78);
  for (let i = 0; i < count; i++) await endpoint.send(peer, data);
}

async function sendBatches(endpoint: Endpoint, peer: Peer, size: number, count: number): Promise<void> {
  const items = Array.from({ length: BATCH }, () => new Uint8Array(size).fill(0x78));
  let left = count;
  for (; left >= BATCH; left -= BATCH) await endpoint.sendBatch(peer, items);
  await endpoint.sendBatch(peer, items.slice(0, left));
}

/** Something that takes in exactly so many messages. */
type Receive = (count: number) => Promise<void>;

function receiver(endpoint: Endpoint, settings: Settings): Receive {
  if (settings.receiveBy === 'recv') {
    const into = new Uint8Array(settings.size);
    return async (count) => {
      for (let i = 0; i < count; i++) await endpoint.recv(into);
    };
  }
  if (settings.receiveBy === 'messages') {
    const messages = endpoint.messages();
    return async (count) => {
      for (let i = 0; i < count; i++) await messages.next();
    };
  }
  const batches = endpoint.messages({ batch: BATCH });
  return async (count) => {
    for (let left = count; left > 0;) {
      const { value } = await batches.next();
      if (value === undefined) throw new Error('the endpoint was closed');
      left -= value.length;
    }
  };
}

await runChild(async (settings) => {
  const endpoint = await open({ provider: settings.provider, node: '127.0.0.1' });
  const peer = endpoint.peer(await exchange(endpoint.contact));
  const send = settings.sendBy === 'batch' ? sendBatches : sendEach;
  const run: Receive =
    settings.role === 'server'
      ? receiver(endpoint, settings)
      : (count) => send(endpoint, peer, settings.size, count);
  await barrier();
  await run(settings.warmUp);
  // The clock starts with nothing on its way.
  await barrier();
  const stop = startMeter(settings);
  const start = performance.now();
  await run(settings.iterations);
  const elapsedMs = performance.now() - start;
  const used = stop();
  const result: Result =
    settings.role === 'server' ? { ...used, rate: (settings.iterations * 1000) / elapsedMs } : used;
  return { result, close: () => endpoint.close() };
});
