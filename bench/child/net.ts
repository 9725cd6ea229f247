// The same two measures over node:net, which is what a Node program has without this package. TCP_NODELAY, loopback.
import { performance } from 'node:perf_hooks';
import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { type Result, type Settings, barrier, exchange, runChild, startMeter, statistics } from './link.js';

async function openSocket(role: Settings['role']): Promise<Socket> {
  if (role === 'client') {
    const port = Number(await exchange(''));
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    await once(socket, 'connect');
    return socket;
  }
  const server = createServer({ noDelay: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const connected = once(server, 'connection') as Promise<[Socket]>;
  await exchange(String((server.address() as AddressInfo).port));
  const [socket] = await connected;
  server.close();
  return socket;
}

/** Answers so many messages, whatever pieces they arrive in. */
function answer(socket: Socket, size: number, count: number): Promise<void> {
  const data = Buffer.alloc(size, 'x');
  let bytes = 0;
  let answered = 0;
  return new Promise((resolve) => {
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes < size) return;
      bytes -= size;
      socket.write(data);
      if (++answered < count) return;
      socket.off('data', onData);
      resolve();
    };
    socket.on('data', onData);
  });
}

function ask(socket: Socket, size: number, roundTrips: Float64Array): Promise<void> {
  const data = Buffer.alloc(size, 'x');
  let bytes = 0;
  let asked = 0;
  let previous = performance.now();
  return new Promise((resolve) => {
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes < size) return;
      bytes -= size;
      const now = performance.now();
      roundTrips[asked] = now - previous;
      previous = now;
      if (++asked < roundTrips.length) {
        socket.write(data);
        return;
      }
      socket.off('data', onData);
      resolve();
    };
    socket.on('data', onData);
    socket.write(data);
  });
}

/** One write for each message, with the flow control that node:net offers. */
async function sendStream(socket: Socket, size: number, count: number): Promise<void> {
  const data = Buffer.alloc(size, 'x');
  for (let i = 0; i < count; i++) if (!socket.write(data)) await once(socket, 'drain');
}

function receiveStream(socket: Socket, bytes: number): Promise<void> {
  let left = bytes;
  return new Promise((resolve) => {
    const onData = (chunk: Buffer): void => {
      left -= chunk.length;
      if (left > 0) return;
      socket.off('data', onData);
      resolve();
    };
    socket.on('data', onData);
  });
}

await runChild(async (settings) => {
  const { role, size, iterations, warmUp } = settings;
  const socket = await openSocket(role);
  const streams = settings.sendBy !== undefined;
  const roundTrips = new Float64Array(streams ? 0 : Math.max(iterations, warmUp));
  const run = (count: number): Promise<void> => {
    if (streams)
      return role === 'server' ? receiveStream(socket, size * count) : sendStream(socket, size, count);
    return role === 'server' ? answer(socket, size, count) : ask(socket, size, roundTrips.subarray(0, count));
  };
  // Listeners first: data that arrives without one would be kept, not lost, but read later.
  const warming = role === 'server' ? run(warmUp) : undefined;
  await barrier();
  await (warming ?? run(warmUp));
  const measuring = role === 'server' ? run(iterations) : undefined;
  await barrier();
  const stop = startMeter(settings);
  const start = performance.now();
  await (measuring ?? run(iterations));
  const elapsedMs = performance.now() - start;
  const result: Result = stop();
  if (streams && role === 'server') result.rate = (iterations * 1000) / elapsedMs;
  if (!streams && role === 'client') Object.assign(result, statistics(roundTrips.subarray(0, iterations)));
  return {
    result,
    close: () => {
      socket.destroy();
      return Promise.resolve();
    },
  };
});
