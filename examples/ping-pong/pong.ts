// The side that answers.
import type { Endpoint, Peer } from 'libfabric';
import { type Order, receiveOrder } from './orders.js';
import { Pattern } from './pattern.js';

export async function pong(endpoint: Endpoint, peer: Peer): Promise<void> {
  for (;;) {
    const order = await receiveOrder(endpoint);
    if (order.kind === 'end') return;
    if (order.kind === 'echo') await echo(endpoint, peer, order);
    else await take(endpoint, peer, order);
  }
}

/** Sends each message back as it came: ping checks what comes home. */
async function echo(endpoint: Endpoint, peer: Peer, { size, count }: Order): Promise<void> {
  const buffer = new Uint8Array(size);
  for (let number = 0; number < count; number++) {
    const { data } = await endpoint.recv(buffer);
    await endpoint.send(peer, data);
  }
}

/** Receives as fast as it can, in batches, and lets the buffers be lent: every byte is checked before the next batch. */
async function take(endpoint: Endpoint, peer: Peer, { size, count }: Order): Promise<void> {
  const pattern = new Pattern(size);
  let number = 0;
  if (count > 0) {
    for await (const batch of endpoint.messages({ batch: 64, borrow: true })) {
      for (const { data } of batch) pattern.check(data, number++);
      if (number >= count) break;
    }
  }
  await endpoint.send(peer, Buffer.from('taken'));
}
