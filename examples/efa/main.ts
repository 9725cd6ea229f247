// Two processes on EFA, each started by hand:  main.js serve   prints a contact;   main.js call CONTACT   calls it.
// On a machine without EFA: libfabric softefa -- node main.js …
import { CompletionError, explain, introduce, introduction, open } from 'libfabric';

const role = process.argv.at(2);
const contact = process.argv.at(3) ?? '';
if (role !== 'serve' && (role !== 'call' || contact === '')) {
  console.error('usage: main.js serve | main.js call CONTACT');
  process.exit(2);
}

// Says what is missing where there is no EFA: a device, libfabric's provider, permissions.
const explanation = await explain({ provider: 'efa' });
if (explanation.chosen === undefined) {
  console.error(String(explanation));
  process.exit(1);
}

const endpoint = await open({ provider: 'efa' });
try {
  if (role === 'serve') {
    // By any means to the other side: here a person copies it.
    console.log(endpoint.contact);
    const call = await endpoint.recv(4096, { timeoutMs: 60_000 });
    const stranger = introduction(call);
    if (stranger === undefined) throw new Error('the message has no introduction');
    const answer = Buffer.from(`${Buffer.from(stranger.data).toString()} yourself`);
    // Waits until the caller has it: the endpoint is closed next.
    await endpoint.send(endpoint.peer(stranger.contact), answer, {
      completion: 'delivery',
      timeoutMs: 10_000,
    });
  } else {
    const callee = endpoint.peer(contact);
    // Together, so that the receive does not go on unheard where the send fails. 'transmit': the send's outcome is the
    // device's, so that a callee that is gone is told at once.
    const [answer] = await Promise.all([
      endpoint.recv(4096, { timeoutMs: 10_000 }),
      endpoint.send(callee, introduce(endpoint, Buffer.from('hello')), {
        completion: 'transmit',
        timeoutMs: 10_000,
      }),
    ]);
    console.log(Buffer.from(answer.data).toString());
  }
} catch (error) {
  // The device knows why: a security group, a process that is gone, a receiver without buffers.
  if (error instanceof CompletionError && error.cause !== undefined)
    console.error(`${error.cause}: ${error.remedy}`);
  else console.error(String(error));
  process.exitCode = 1;
} finally {
  await endpoint.close();
}
