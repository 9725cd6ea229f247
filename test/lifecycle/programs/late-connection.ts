// An endpoint closes while another is connecting to it, and its queue is read after that, as the other goes on.
import { Memory } from 'libfabric/fi';
import { type Place, openObjects } from './stages.js';

const place = JSON.parse(process.argv[2] ?? '') as Place;
/** How often each side looks at its queue: more often than any step of a connection needs. */
const LOOKS = 100;

const [a, b] = [await openObjects(place, true), await openObjects(place, true)];
const memory = Memory.allocate(64);
const toB = a.addresses.insert(b.endpoint.getName());
// Begins to connect. Until a looks at its queue again it does not say what it wants.
a.endpoint.send(memory, 0, 8, toB, 0);
for (let look = 0; look < LOOKS; look++) b.queue.read();
await b.endpoint.close();
for (let look = 0; look < LOOKS; look++) {
  a.queue.read();
  b.queue.read();
}
await a.endpoint.close();
console.log('alive');
process.exit();
