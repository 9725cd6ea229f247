// An endpoint that answers one message, and then waits for whatever becomes of its process.
import { open } from 'libfabric';

const endpoint = await open(JSON.parse(process.argv[2]));
const asker = new Promise((resolve) => process.once('message', resolve));
process.send(endpoint.contact);
const peer = endpoint.peer(await asker);
endpoint.on('error', () => undefined);
process.on('message', (word) => {
  if (word === 'exit') process.exit(0);
});
process.send('ready');
const { data } = await endpoint.recv(64);
await endpoint.send(peer, data);
