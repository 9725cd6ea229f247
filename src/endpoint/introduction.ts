// How a server answers strangers: the first message carries its sender's contact.
import { checkBytes } from '../fi/errors.js';
import type { Endpoint } from './endpoint.js';
import type { Received } from './types.js';

const MAGIC = Uint8Array.of(0xfa, 0xb1, 0x1c, 0x01);

/**
 * A first message to somebody who does not know this endpoint: its contact, and then the data.
 *
 * Nothing vouches for the contact: anybody can claim any.
 */
export function introduce(endpoint: Endpoint, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  checkBytes('data', data);
  const contact = Buffer.from(endpoint.contact, 'utf8');
  const message = new Uint8Array(MAGIC.length + 2 + contact.length + data.length);
  message.set(MAGIC);
  new DataView(message.buffer).setUint16(MAGIC.length, contact.length);
  message.set(contact, MAGIC.length + 2);
  message.set(data, MAGIC.length + 2 + contact.length);
  return message;
}

/** What a message of introduce() says. */
export interface Introduction {
  /** Whom the sender claims to be: for endpoint.peer(). */
  contact: string;
  /** What came after it; a view of the message's data. */
  data: Uint8Array;
}

/** What introduce() put into a message: the sender's contact and the data; undefined where the message is not of that kind. */
export function introduction(message: Received): Introduction | undefined {
  const { data } = message;
  const start = MAGIC.length + 2;
  if (data.length < start || MAGIC.some((byte, index) => data[index] !== byte)) return undefined;
  const length = new DataView(data.buffer, data.byteOffset).getUint16(MAGIC.length);
  if (data.length < start + length) return undefined;
  const contact = Buffer.from(data.subarray(start, start + length)).toString('utf8');
  return { contact, data: data.subarray(start + length) };
}
