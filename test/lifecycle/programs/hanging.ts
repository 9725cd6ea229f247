// An endpoint whose fi_close never returns: rxd searches its address vector for ever at its close once
// that has more than 1024 addresses. Beside it lives an endpoint that closes as it should.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { type Endpoint, open } from 'libfabric';

export type End = 'natural' | 'exit' | 'worker-natural' | 'worker-exit' | 'worker-terminate';

export interface Asked {
  end: End;
}

const node = '127.0.0.1';
const { end } = (isMainThread ? JSON.parse(process.argv[2] ?? '') : workerData) as Asked;

/** Contacts that differ in their ports; nobody is there. */
function contactsLike(contact: string, count: number): string[] {
  const parts = contact.split('/');
  const address = Buffer.from(parts.pop() ?? '', 'base64url');
  return Array.from({ length: count }, (_, index) => {
    const other = Buffer.from(address);
    other.writeUInt16BE(10_000 + index, 2);
    return [...parts, other.toString('base64url')].join('/');
  });
}

async function exchange(from: Endpoint, to: Endpoint): Promise<void> {
  const received = to.recv(64);
  await from.send(from.peer(to.contact), new Uint8Array(64));
  await received;
}

/** Resolves when close() has given up on it. */
async function closeThatHangs(): Promise<void> {
  const endpoint = await open({ provider: 'udp;ofi_rxd', node });
  await endpoint.peers(contactsLike(endpoint.contact, 1500));
  await endpoint.close({ timeoutMs: 200 });
}

async function here(): Promise<void> {
  const neighbour = await open({ provider: 'shm' });
  await closeThatHangs();
  // What hangs hangs alone.
  await exchange(neighbour, neighbour);
  const another = await open({ provider: 'shm' });
  await exchange(neighbour, another);
  await another.close();
  // Left to the end of the environment, which closes it.
  neighbour.unref();
  if (isMainThread) console.log('closed');
  // An exit may overtake what was posted.
  if (end !== 'worker-exit') parentPort?.postMessage('closed');
  if (end === 'exit' || end === 'worker-exit') process.exit(7);
  // Until it is terminated.
  if (end === 'worker-terminate') neighbour.ref();
}

function inWorker(): void {
  const worker = new Worker(new URL(import.meta.url), { workerData: { end } });
  worker.on('message', (message) => {
    console.log(message);
    if (end === 'worker-terminate') void worker.terminate();
  });
  worker.on('exit', (code) => {
    console.log(`worker ${String(code)}`);
  });
}

if (isMainThread && end.startsWith('worker-')) inWorker();
else await here();
