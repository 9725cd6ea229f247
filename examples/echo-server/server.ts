// Echoes what strangers send, to the contact with which they introduce themselves.
//
//   node scripts/program.mjs examples/echo-server/server [--provider NAME] [--node ADDRESS] [--contact-file FILE]
//
// Nothing vouches for a contact: whoever reaches this endpoint can make it send to anybody. Raw endpoints are for networks
// that you trust.
import { renameSync, writeFileSync } from 'node:fs';
import { type Endpoint, type Message, type Peer, introduction, open } from 'libfabric';
import { commandLine } from './options.js';

const { options, contactFile } = commandLine();
const endpoint = await open(options);

function stop(): void {
  void endpoint.close();
}
process.once('SIGINT', stop);
process.once('SIGTERM', stop);

if (contactFile !== undefined) {
  // In one step: a client that waits for the file never reads half of it.
  writeFileSync(`${contactFile}.part`, `${endpoint.contact}\n`);
  renameSync(`${contactFile}.part`, contactFile);
}
console.log(endpoint.contact);

// Ends when the endpoint closes.
for await (const message of endpoint.messages()) {
  // Not awaited: one client that does not read must not hold up the others.
  void answer(endpoint, message);
}

async function answer(server: Endpoint, message: Message): Promise<void> {
  let peer: Peer | undefined;
  try {
    const stranger = introduction(message);
    // Where the provider names the sender, only the first message of a client needs to introduce it.
    peer = stranger === undefined ? message.from : server.peer(stranger.contact);
    if (peer === undefined) throw new Error('somebody unknown, who did not introduce himself');
    await server.send(peer, stranger?.data ?? message.data, { timeoutMs: 5000 });
  } catch (error) {
    if (server.closed) return;
    console.error(`no answer: ${String(error)}`);
    // Gone, or it does not read: what else waits to be sent to it is given up.
    peer?.close();
  }
}
