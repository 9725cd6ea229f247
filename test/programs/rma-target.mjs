// Memory for a peer in another process: tells of it, and then waits, or computes until a peer has written to it.
import { open } from 'libfabric';

const endpoint = await open(JSON.parse(process.argv[2]));
endpoint.on('error', () => undefined);
const region = await endpoint.memory.register(1 << 20, ['remoteRead', 'remoteWrite']);

/** Never returns to the loop before the first byte is written, or much time is over. */
function compute() {
  const end = performance.now() + 15_000;
  while (Atomics.load(region.bytes, 0) === 0 && performance.now() < end);
  process.send(`saw ${region.bytes[0]}`);
}

process.on('message', ({ contact, word }) => {
  if (contact !== undefined) {
    endpoint.peer(contact);
    process.send('ready');
  }
  if (word === 'compute') process.send('computing', compute);
});
process.send({ contact: endpoint.contact, remote: region.remote });
