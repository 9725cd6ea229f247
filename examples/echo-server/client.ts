// Sends words to the echo server and prints what comes back.
//
//   node scripts/program.mjs examples/echo-server/client --contact TEXT | --contact-file FILE [--provider NAME] [--node ADDRESS] [WORD…]
import { introduce, open } from 'libfabric';
import { commandLine, serverContact } from './options.js';

const command = commandLine();
const contact = serverContact(command);
const words = command.words.length === 0 ? ['hello'] : command.words;

const endpoint = await open(command.options);
try {
  const server = endpoint.peer(contact);
  for (const word of words) {
    // Each message introduces this client, so that it also works where the provider does not name the sender.
    await endpoint.send(server, introduce(endpoint, Buffer.from(word)));
    // No provider tells dependably that the server is gone: a bound does.
    const { data } = await endpoint.recv(65536, { timeoutMs: 5000 });
    console.log(Buffer.from(data).toString());
  }
} finally {
  await endpoint.close();
}
