// What ping asks of pong, as JSON in a message of its own.
import type { Endpoint, Peer } from 'libfabric';

/** `echo`: send back so many messages; `take`: receive and check them, then say 'taken'; `end`: that was all. */
export interface Order {
  kind: 'echo' | 'take' | 'end';
  size: number;
  count: number;
}

const LONGEST_ORDER = 256;

export function sendOrder(endpoint: Endpoint, peer: Peer, order: Order): Promise<void> {
  return endpoint.send(peer, Buffer.from(JSON.stringify(order)));
}

export async function receiveOrder(endpoint: Endpoint): Promise<Order> {
  const { data } = await endpoint.recv(LONGEST_ORDER);
  return JSON.parse(Buffer.from(data).toString()) as Order;
}
