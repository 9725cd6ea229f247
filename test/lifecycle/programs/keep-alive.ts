// Whether an open endpoint keeps its process alive. A timer that does not would tell, long after, that something did.
import { open } from 'libfabric';
import type { Place } from './stages.js';

export type Held = 'open' | 'unref' | 'ref-again' | 'unref-receiving' | 'one-of-two' | 'closed';

export interface Asked {
  place: Place;
  held: Held;
}

/** Far longer than the end of a process takes that nothing holds. */
const LATER_MS = 3000;

const { place, held } = JSON.parse(process.argv[2] ?? '') as Asked;
const endpoint = await open(place);
switch (held) {
  case 'open':
    break;
  case 'ref-again':
    endpoint.unref().ref();
    break;
  case 'unref-receiving':
    // Nobody will send. A promise alone keeps no process alive.
    void endpoint.recv(64);
    endpoint.unref();
    break;
  case 'one-of-two':
    (await open(place)).unref();
    break;
  case 'unref':
    endpoint.unref();
    break;
  case 'closed':
    await endpoint.close();
}
setTimeout(() => {
  console.log('alive');
  // What is still open is closed by the end, as ever.
  process.exit();
}, LATER_MS).unref();
console.log('opened');
