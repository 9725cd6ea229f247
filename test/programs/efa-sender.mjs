// Sends one message to a contact, or to one that its parent names later; says how that ended, and ends:
// `efa-sender.mjs CONTACT now` or `efa-sender.mjs CONTACT twice`, which sends again after a line of input.
import { open } from 'libfabric';

const [, , contact, when] = process.argv;
const endpoint = await open({ provider: 'efa' });
const peer = endpoint.peer(contact);
const send = () =>
  endpoint.send(peer, new Uint8Array(16), { completion: 'transmit' }).then(
    () => 'sent',
    ({ code, errno, providerErrno, providerErrorName, cause, remedy, message }) =>
      JSON.stringify({ code, errno, providerErrno, providerErrorName, cause, remedy, message }),
  );
console.log(await send());
if (when === 'twice') {
  await new Promise((resolve) => process.stdin.once('data', resolve));
  console.log(await send());
}
process.exit(0);
