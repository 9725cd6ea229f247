// FI_MULTI_RECV: one buffer takes message after message, and is given back when what is left could be too little for one.
import * as fi from 'libfabric/fi';
import { place } from '../options.js';
import { openSide, until } from '../side.js';

const LONGEST = 256;
const CONTEXT = 7;
const { provider = 'tcp;ofi_rxm', node } = place();
const caps = ['FI_MSG', 'FI_MULTI_RECV'];
const sender = await openSide(provider, node, caps);
const receiver = await openSide(provider, node, caps, (endpoint) => {
  // The buffer is given back when less than this is left of it.
  endpoint.setOpt('FI_OPT_MIN_MULTI_RECV', LONGEST);
});
try {
  const peer = sender.addresses.insert(receiver.endpoint.getName());
  receiver.addresses.insert(sender.endpoint.getName());
  const buffer = fi.Memory.allocate(4096);
  const part = { memory: buffer, offset: 0, length: 1024 };
  await until(() => receiver.endpoint.recvMessage([part], CONTEXT, fi.FI_MULTI_RECV));

  const words: string[] = [];
  const state = { isReleased: false };
  const read = (): void => {
    sender.queue.read();
    const count = receiver.queue.read();
    const { completions } = receiver.queue;
    for (let index = 0; index < count; index++) {
      if (completions.isReceive(index)) {
        const start = completions.place(index);
        const bytes = buffer.bytes.subarray(start, start + completions.length(index));
        words.push(Buffer.from(bytes).toString().trimEnd());
      }
      if (completions.isReleased(index)) state.isReleased = true;
    }
  };

  const message = fi.Memory.allocate(LONGEST);
  let sent = 0;
  while (!state.isReleased) {
    message.bytes.fill(0x20);
    message.bytes.set(Buffer.from(`message ${sent}`));
    await until(() => {
      read();
      return sender.endpoint.send(message, 0, 200, peer, sent);
    });
    sent += 1;
    await until(() => {
      read();
      return words.length === sent;
    });
  }
  console.log(`one buffer of ${part.length} bytes took ${words.join(', ')}`);
} finally {
  await Promise.all([sender.close(), receiver.close()]);
}
