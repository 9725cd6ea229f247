// Sends so many numbered messages to a contact, closes, and exits at once: `send-and-exit.mjs OPTIONS CONTACT COUNT`.
import { open } from 'libfabric';

const [, , options, contact, count] = process.argv;
const endpoint = await open(JSON.parse(options));
const peer = endpoint.peer(contact);
const message = new Uint8Array(64);
const view = new DataView(message.buffer);
for (let number = 0; number < Number(count); number++) {
  view.setUint32(0, number);
  await endpoint.send(peer, message);
}
await endpoint.close();
process.exit(0);
