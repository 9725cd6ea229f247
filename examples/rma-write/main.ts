// Writes into another endpoint's memory and reads it back; the other side's program takes no part.
import { RemoteMemory, open } from 'libfabric';
import { place } from '../options.js';

const options = { ...place(), features: ['rma'] } as const;
const deadline = { timeoutMs: 5000 };
const owner = await open(options);
const writer = await open(options);
try {
  // The owner opens memory to its peers, and tells one of them where it is: any way will do, here a message.
  const region = await owner.memory.register(4096, ['remoteRead', 'remoteWrite']);
  const invitation = writer.recv(64, deadline);
  await owner.send(owner.peer(writer.contact), region.remote.toBytes());
  const remote = RemoteMemory.from((await invitation).data);

  const peer = writer.peer(owner.contact);
  const text = Buffer.from('hello there');
  // A Lease is written from where it is; a Uint8Array would be copied first.
  const lease = writer.memory.alloc(text.length);
  lease.data.set(text);
  await writer.write(peer, lease, remote.slice(100, text.length), deadline);
  lease[Symbol.dispose]();

  // Nobody has told the owner: a program would send a message behind the write.
  const there = region.bytes.subarray(100, 100 + text.length);
  console.log(`the owner finds: ${Buffer.from(there).toString()}`);
  const back = await writer.read(peer, 5, remote.slice(106, 5), deadline);
  console.log(`the writer reads: ${Buffer.from(back).toString()}`);
} finally {
  await Promise.all([owner.close(), writer.close()]);
}
