// An endpoint that sends every message back to the one that it was told of.
import { open } from 'libfabric';

const endpoint = await open(JSON.parse(process.argv[2]));
const asker = new Promise((resolve) => process.once('message', resolve));
process.send(endpoint.contact);
const peer = endpoint.peer(await asker);
process.send('ready');
for await (const message of endpoint.messages()) await endpoint.send(peer, message.data);
