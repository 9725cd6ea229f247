// On a message of its parent sends so many numbered messages to a contact, then closes. How many were sent stands in a
// file: `counting-sender.mjs OPTIONS CONTACT COUNT FILE`.
import { openSync, writeSync } from 'node:fs';
import { open } from 'libfabric';

const [, , options, contact, count, file] = process.argv;
const sent = Int32Array.of(0);
const progress = openSync(file, 'r+');
const endpoint = await open(JSON.parse(options));
const peer = endpoint.peer(contact);
const message = new Uint8Array(64);
await new Promise((resolve) => {
  process.once('message', resolve);
  process.send('ready');
});
const view = new DataView(message.buffer);
for (let number = 0; number < Number(count); number++) {
  view.setUint32(0, number);
  await endpoint.send(peer, message);
  sent[0] = number + 1;
  writeSync(progress, sent, 0, 4, 0);
}
await endpoint.close();
process.disconnect();
