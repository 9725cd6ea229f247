// Three endpoints draw numbers from one counter in the memory of a fourth, whose program takes no part. None is drawn twice.
import { open } from 'libfabric';
import { place } from '../options.js';

const options = { ...place(), features: ['atomic'] } as const;
const owner = await open(options);
const workers = [await open(options), await open(options), await open(options)];
try {
  const region = await owner.memory.register(8, ['remoteRead', 'remoteWrite']);
  const one = BigInt64Array.of(1n);
  const drawn = await Promise.all(
    workers.map(async (worker) => {
      const peer = worker.peer(owner.contact);
      const numbers: bigint[] = [];
      for (let count = 0; count < 100; count++) {
        const [number] = await worker.fetchAtomic(peer, 'sum', one, region.remote, { timeoutMs: 5000 });
        numbers.push(number);
      }
      return numbers;
    }),
  );
  const counter = new BigInt64Array(region.bytes.buffer as ArrayBuffer, region.bytes.byteOffset, 1);
  console.log(`${new Set(drawn.flat()).size} different numbers were drawn, the next is ${counter[0]}`);
} finally {
  await Promise.all([owner, ...workers].map((endpoint) => endpoint.close()));
}
