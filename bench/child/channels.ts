// What Node programs have without this package, each as one thing: bytes out, bytes in, and when there is room again.
import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import type { MessagePort } from 'node:worker_threads';
import { type WebSocket, required } from '../packages.js';
import { type Settings, exchange } from './link.js';

/** A connection to the other side. */
export interface Channel {
  /** Sends a message; a promise where the sender has to wait before the next one. */
  send(data: Uint8Array): Promise<unknown> | undefined;
  /** Who gets what comes: whole messages, or pieces of a stream. */
  onBytes(handler: (bytes: Uint8Array) => void): void;
  close(): void;
}

async function openNet({ role }: Settings): Promise<Channel> {
  let socket: Socket;
  if (role === 'client') {
    socket = connect({ host: '127.0.0.1', port: Number(await exchange('')), noDelay: true });
    await once(socket, 'connect');
  } else {
    const server = createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const connected = once(server, 'connection') as Promise<[Socket]>;
    await exchange(String((server.address() as AddressInfo).port));
    [socket] = await connected;
    server.close();
  }
  return {
    send: (data) => (socket.write(data) ? undefined : once(socket, 'drain')),
    onBytes: (handler) => void socket.on('data', handler),
    close: () => void socket.destroy(),
  };
}

/** Bytes that ws may hold before the sender waits: it has no signal of its own. */
const WEB_SOCKET_BUFFER = 1 << 20;

async function openWebSocket({ role }: Settings): Promise<Channel> {
  const { WebSocket: Client, WebSocketServer } = required('ws');
  const options = { perMessageDeflate: false, maxPayload: 1 << 30 };
  let socket: WebSocket;
  if (role === 'client') {
    socket = new Client(`ws://127.0.0.1:${await exchange('')}`, options);
    await new Promise<void>((resolve) => socket.once('open', resolve));
  } else {
    const server = new WebSocketServer({ ...options, host: '127.0.0.1', port: 0 });
    await new Promise<void>((resolve) => server.once('listening', resolve));
    const connected = new Promise<WebSocket>((resolve) => server.once('connection', resolve));
    await exchange(String(server.address().port));
    socket = await connected;
    server.close();
  }
  return {
    send(data) {
      if (socket.bufferedAmount < WEB_SOCKET_BUFFER) {
        socket.send(data);
        return undefined;
      }
      return new Promise<void>((resolve) => socket.send(data, resolve));
    },
    onBytes: (handler) => socket.on('message', handler),
    close: () => socket.terminate(),
  };
}

async function openZeroMq({ role }: Settings): Promise<Channel> {
  const { Pair } = required('zeromq');
  const socket = new Pair({ linger: 0 });
  if (role === 'client') {
    socket.connect(await exchange(''));
  } else {
    await socket.bind('tcp://127.0.0.1:*');
    await exchange(socket.lastEndpoint ?? '');
  }
  // One send at a time is all that it takes.
  let last = Promise.resolve();
  let underWay = 0;
  const send = async (data: Uint8Array): Promise<void> => {
    underWay++;
    try {
      await socket.send(data);
    } finally {
      underWay--;
    }
  };
  return {
    send: (data) => (last = underWay === 0 ? send(data) : last.then(() => send(data))),
    onBytes(handler) {
      void (async () => {
        for await (const [message] of socket) handler(message);
      })();
    },
    close: () => socket.close(),
  };
}

/** Messages that may be on their way to a port, which has no flow control: the receiver tells of each half of them. */
const PORT_WINDOW = 1024;

/** One end of a MessageChannel. Every message is copied, as it is between threads. */
export function portChannel(port: MessagePort): Channel {
  let underWay = 0;
  let received = 0;
  let onRoom: (() => void) | undefined;
  return {
    send(data) {
      port.postMessage(data);
      underWay++;
      if (underWay < PORT_WINDOW) return undefined;
      return new Promise<void>((resolve) => (onRoom = resolve));
    },
    onBytes(handler) {
      port.on('message', (message: Uint8Array | number) => {
        if (typeof message === 'number') {
          underWay -= message;
          onRoom?.();
          return;
        }
        received++;
        if (received % (PORT_WINDOW / 2) === 0) port.postMessage(PORT_WINDOW / 2);
        handler(message);
      });
    },
    close: () => port.close(),
  };
}

/** How each transport between processes is opened. */
export const transports: Record<string, (settings: Settings) => Promise<Channel>> = {
  'node:net': openNet,
  ws: openWebSocket,
  zeromq: openZeroMq,
};
