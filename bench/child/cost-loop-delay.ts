// How long the event loop is away from a server while messages flood in: the server takes them in and answers HTTP requests.
import { once } from 'node:events';
import { type Server, createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { type Endpoint, type Peer, open } from 'libfabric';
import { type Result, type Settings, barrier, exchange, runChild, startMeter, statistics } from './link.js';

const BATCH = 64;
const END = 1;

/** Sends until the time is over; the last message is shorter. */
async function flood(endpoint: Endpoint, peer: Peer, { size, seconds = 1 }: Settings): Promise<void> {
  const items = Array.from({ length: BATCH }, () => new Uint8Array(size));
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) await endpoint.sendBatch(peer, items);
  await endpoint.send(peer, new Uint8Array(END));
}

function request(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, agent: false }, (response) => {
      response.resume();
      response.once('end', resolve);
    }).once('error', reject);
  });
}

/** HTTP requests, one after the other, until `isOver`; their times in ms. */
async function requests(port: number, isOver: () => boolean): Promise<Float64Array> {
  const times: number[] = [];
  while (!isOver()) {
    const start = performance.now();
    await request(port);
    times.push(performance.now() - start);
  }
  return Float64Array.from(times);
}

async function takeIn(endpoint: Endpoint): Promise<number> {
  let count = 0;
  for await (const batch of endpoint.messages({ batch: BATCH })) {
    count += batch.length;
    if (batch.some(({ length }) => length === END)) break;
  }
  return count;
}

async function serve(endpoint: Endpoint, server: Server, settings: Settings): Promise<Result> {
  await exchange(String((server.address() as AddressInfo).port));
  const delay = monitorEventLoopDelay({ resolution: 1 });
  await barrier();
  const stop = startMeter(settings);
  delay.enable();
  const start = performance.now();
  const count = await takeIn(endpoint);
  const elapsedMs = performance.now() - start;
  delay.disable();
  const used = stop();
  await barrier();
  // Node measures the time between two turns of a timer of 1 ms, that one included.
  const figures = {
    delayP50InMs: delay.percentile(50) / 1e6,
    delayP99InMs: delay.percentile(99) / 1e6,
    delayMaxInMs: delay.max / 1e6,
    messagesPerSecond: (count * 1000) / elapsedMs,
  };
  return { ...used, figures };
}

async function ask(endpoint: Endpoint, peer: Peer, settings: Settings): Promise<Result> {
  const port = Number(await exchange(''));
  await barrier();
  const stop = startMeter(settings);
  let isOver = false;
  const asking = requests(port, () => isOver);
  await flood(endpoint, peer, settings);
  isOver = true;
  const times = await asking;
  const used = stop();
  await barrier();
  const { p50 } = statistics(times, 1);
  const p99 = times[Math.floor(times.length * 0.99)];
  const seconds = settings.seconds ?? 1;
  return {
    ...used,
    figures: {
      httpP50InMs: p50 / 1000,
      httpP99InMs: p99,
      httpPerSecond: times.length / seconds,
    },
  };
}

await runChild(async (settings) => {
  const endpoint = await open({ provider: settings.provider, node: '127.0.0.1' });
  const peer = endpoint.peer(await exchange(endpoint.contact));
  const server = createServer((_, response) => response.end('here'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const result =
    settings.role === 'server'
      ? await serve(endpoint, server, settings)
      : await ask(endpoint, peer, settings);
  const close = async (): Promise<void> => {
    server.close();
    await endpoint.close();
  };
  return { result, close };
});
