// What rdma.test.ts asks a process on a software EFA device with RDMA: reads and writes on the fabric efa-direct, whose
// operations are the device's own.
import * as fi from 'libfabric/fi';
import { hintsOf, openSide, say, turn } from './device.js';

const SIZE = 40_000;

const hints = hintsOf('efa-direct', { caps: ['FI_MSG', 'FI_RMA', 'FI_SOURCE'] });

const [a, b] = [await openSide(hints), await openSide(hints)];
const [domain] = a.endpoint.parents.filter((object) => object instanceof fi.Domain);
const toB = a.addresses.insert(b.endpoint.getName());
b.addresses.insert(a.endpoint.getName());
const from = a.memory;
for (let index = 0; index < SIZE; index++) from.bytes[index] = index % 251;
const target = fi.Memory.allocate(SIZE);
const [domainOfB] = b.endpoint.parents.filter((object) => object instanceof fi.Domain);
const region = await fi.MemoryRegion.register(domainOfB, target, {
  access: ['recv', 'remoteRead', 'remoteWrite'],
});
const into = fi.Memory.allocate(SIZE);
const intoRegion = await fi.MemoryRegion.register(domain, into, {
  access: ['send', 'recv', 'read', 'write'],
});
const done = async (post: () => boolean): Promise<string> => {
  const deadline = Date.now() + 10_000;
  while (!post()) {
    a.queue.read();
    await turn();
  }
  while (a.queue.read() === 0) {
    if (Date.now() > deadline) return 'nothing completed';
    await turn();
  }
  return a.queue.completions.error(0) === 0
    ? 'done'
    : `provider error ${a.queue.completions.providerError(0)}`;
};
const wrong = new fi.RemoteMemory(region.remote.key, region.remote.address + 1n, SIZE);
const written = await done(() => a.endpoint.write(from, 0, SIZE, toB, region.remote, 1));
const read = await done(() => a.endpoint.read(into, 0, SIZE, toB, region.remote, 2));
const refused = await done(() => a.endpoint.write(from, 0, SIZE, toB, wrong, 3));
const same = Buffer.compare(from.bytes.subarray(0, SIZE), into.bytes) === 0;
for (const object of [intoRegion, region]) await object.close();
for (const side of [a, b]) await side.close();
say({ fabric: a.info.fabricName, written, read, refused, same });
