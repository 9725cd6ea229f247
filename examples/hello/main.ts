import { open } from 'libfabric';

// Two endpoints on this machine. Without `node`, open() binds the first routable address.
const server = await open({ node: '127.0.0.1' });
const client = await open({ node: '127.0.0.1' });
try {
  const greeting = server.recv(1024, { timeoutMs: 5000 });
  const peer = client.peer(server.contact);
  await client.send(peer, Buffer.from('hello'));
  const { data } = await greeting;
  console.log(`${client.provider} says ${Buffer.from(data).toString()}`);
} finally {
  await Promise.all([client.close(), server.close()]);
}
