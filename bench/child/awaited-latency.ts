// Ping-pong over the everyday layer: one promise for each message, both ways.
import { performance } from 'node:perf_hooks';
import { type Endpoint, type Peer, open } from 'libfabric';
import { type Settings, barrier, exchange, runChild, startMeter, statistics } from './link.js';

/** How the program receives: as the side that asks and as the side that answers. */
interface Loops {
  answer(count: number): Promise<void>;
  ask(roundTrips: Float64Array): Promise<void>;
}

function byRecv(endpoint: Endpoint, peer: Peer, size: number): Loops {
  const data = new Uint8Array(size).fill(0x78);
  const into = new Uint8Array(size);
  return {
    async answer(count) {
      for (let i = 0; i < count; i++) {
        await endpoint.recv(into);
        await endpoint.send(peer, data);
      }
    },
    async ask(roundTrips) {
      let previous = performance.now();
      for (let i = 0; i < roundTrips.length; i++) {
        await endpoint.send(peer, data);
        await endpoint.recv(into);
        const now = performance.now();
        roundTrips[i] = now - previous;
        previous = now;
      }
    },
  };
}

function byMessages(endpoint: Endpoint, peer: Peer, size: number): Loops {
  const data = new Uint8Array(size).fill(0x78);
  const messages = endpoint.messages();
  return {
    async answer(count) {
      for (let i = 0; i < count; i++) {
        await messages.next();
        await endpoint.send(peer, data);
      }
    },
    async ask(roundTrips) {
      let previous = performance.now();
      for (let i = 0; i < roundTrips.length; i++) {
        await endpoint.send(peer, data);
        await messages.next();
        const now = performance.now();
        roundTrips[i] = now - previous;
        previous = now;
      }
    },
  };
}

function openEndpoint({ provider, spinMicroseconds }: Settings): Promise<Endpoint> {
  return open({
    provider,
    node: '127.0.0.1',
    ...(spinMicroseconds === undefined ? {} : { spinMicroseconds }),
  });
}

await runChild(async (settings) => {
  const endpoint = await openEndpoint(settings);
  const peer = endpoint.peer(await exchange(endpoint.contact));
  const loops = (settings.receiveBy === 'messages' ? byMessages : byRecv)(endpoint, peer, settings.size);
  const roundTrips = new Float64Array(Math.max(settings.iterations, settings.warmUp));
  const run = (count: number): Promise<void> =>
    settings.role === 'server' ? loops.answer(count) : loops.ask(roundTrips.subarray(0, count));
  await barrier();
  await run(settings.warmUp);
  await barrier();
  const stop = startMeter(settings);
  await run(settings.iterations);
  const used = stop();
  const times = settings.role === 'client' ? statistics(roundTrips.subarray(0, settings.iterations)) : {};
  return { result: { ...used, ...times, note: endpoint.provider }, close: () => endpoint.close() };
});
