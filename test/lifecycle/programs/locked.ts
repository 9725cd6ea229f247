// The lock in an shm endpoint's file is kept, as by a process that was killed or stopped while it held it, and given back.
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { open } from 'libfabric';

export interface LockedResult {
  /** The version of the file's layout, which tells whether the lock is where it is looked for. */
  layout: number;
  /** How each operation to the endpoint ended while the lock was kept. */
  kept: Record<string, string>;
  /** What the endpoint itself said meanwhile. */
  told: string[];
  /** Lengths of messages that arrived after the lock was given back, and what was written. */
  arrived: number[];
  written: number;
  /** How many buffers messages() could post while the lock was kept. */
  posted: number;
}

const LOCK_OFFSET = 24;
const BOUND_MS = 50;

const options = { provider: 'shm', features: ['rma', 'atomic', 'tagged'] } as const;
const [a, b] = await Promise.all([open(options), open(options)]);
const toB = a.peer(b.contact);
const region = await b.memory.register(64, ['remoteRead', 'remoteWrite']);
const told: string[] = [];
b.on('error', ({ message }) => told.push(message));

// Each knows the other, and nothing is under way.
await Promise.all([a.send(toB, new Uint8Array(8)), b.recv(8)]);

const address = Buffer.from(b.contact.split('/').at(-1) ?? '', 'base64').toString();
const file = openSync(address.replace('fi_shm:/', '/dev/shm').replaceAll('\0', ''), 'r+');
const head = Buffer.alloc(32);
readSync(file, head, 0, head.length, 0);
const free = head.readInt32LE(LOCK_OFFSET);
const setLock = (value: number): void => {
  head.writeInt32LE(value, LOCK_OFFSET);
  writeSync(file, head, LOCK_OFFSET, 4, LOCK_OFFSET);
};
const layout = head[0];
const result: LockedResult = { layout, kept: {}, told, arrived: [], written: 0, posted: -1 };

if (layout === 4 || layout === 5) {
  // pthread_spin_lock(3): 0 is taken on x86, 1 elsewhere.
  setLock(free === 0 ? 1 : 0);
  const bound = { timeoutMs: BOUND_MS };
  const operations = {
    send: a.send(toB, new Uint8Array(100), bound),
    'large send': a.send(toB, new Uint8Array(100_000), bound),
    sendTagged: a.sendTagged(toB, 5n, new Uint8Array(100), bound),
    write: a.write(toB, new Uint8Array(8), region.remote, bound),
    read: a.read(toB, 8, region.remote, bound),
    fetchAtomic: a.fetchAtomic(toB, 'sum', BigUint64Array.of(1n), region.remote, bound),
    sendBatch: a.sendBatch(toB, [new Uint8Array(10), new Uint8Array(20)], bound),
    recv: b.recv(100, bound),
  };
  for (const [name, operation] of Object.entries(operations))
    result.kept[name] = await operation.then(
      () => 'done',
      (error: unknown) => (error as Error).name,
    );
  // These wait for as long as it takes.
  const sends = [300, 400_000].map((length) => a.send(toB, new Uint8Array(length)));
  const write = a.write(toB, new Uint8Array(8).fill(7), region.remote);
  const received = [b.recv(400_000), b.recv(400_000)];
  while (told.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  setLock(free);
  await Promise.all([...sends, write]);
  for (const one of received) result.arrived.push((await one).length);
  result.written = region.bytes[7];

  // The pool of messages() finds nothing of it posted, and nothing under way that would bring another try.
  setLock(free === 0 ? 1 : 0);
  const next = b.messages().next();
  result.posted = b.stats().receivesPosted;
  const late = a.send(toB, new Uint8Array(500));
  setLock(free);
  await late;
  result.arrived.push((await next).value?.length ?? 0);
}
closeSync(file);
await Promise.all([a.close(), b.close()]);
console.log(JSON.stringify(result));
