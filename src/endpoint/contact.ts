// A contact: what to hand to the other side, by any means. Printable text of provider family, address format and the
// endpoint's address, such as 'fabric:net/FI_SOCKADDR_IN/AgCvYX8AAAEAAAAAAAAAAA'.
import { type FabricError, addressError, typeError } from '../fi/errors.js';

const SCHEME = 'fabric:';
const SEPARATOR = '/';

export interface Contact {
  family: string;
  format: string;
  address: Uint8Array;
}

export function formatContact({ family, format, address }: Contact): string {
  return SCHEME + [family, format, Buffer.from(address).toString('base64url')].join(SEPARATOR);
}

function contactError(text: string, reason: string): FabricError {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return addressError(`the contact '${shown}' cannot be used: ${reason}`);
}

/** Reads a contact, or the bare address bytes of a C peer, for an endpoint of the given family and format. */
export function parseContact(contact: unknown, own: Contact): Contact {
  if (contact instanceof Uint8Array) {
    if (contact.byteLength !== own.address.byteLength && own.format !== 'FI_ADDR_STR')
      throw addressError(
        `an address of ${String(contact.byteLength)} bytes cannot be used: ${own.family} has addresses of ` +
          `${String(own.address.byteLength)} bytes (${own.format})`,
      );
    return { family: own.family, format: own.format, address: Uint8Array.from(contact) };
  }
  if (typeof contact !== 'string')
    throw typeError(
      'contact',
      contact,
      'a contact string or a Uint8Array of an address',
      "Give the other side's endpoint.contact",
    );
  if (!contact.startsWith(SCHEME)) throw contactError(contact, `a contact begins with '${SCHEME}'`);
  const parts = contact.slice(SCHEME.length).split(SEPARATOR);
  const [family, format, encoded] = parts;
  if (parts.length !== 3 || family === undefined || format === undefined || encoded === undefined)
    throw contactError(contact, 'a contact is fabric:family/format/address');
  if (family !== own.family)
    throw contactError(
      contact,
      `it is of provider family '${family}', this endpoint's is '${own.family}'; open both with the same provider`,
    );
  if (format !== own.format)
    throw contactError(
      contact,
      `its address format is ${format}, this endpoint's is ${own.format}; open both with addresses of one kind`,
    );
  const address = new Uint8Array(Buffer.from(encoded, 'base64url'));
  if (Buffer.from(address).toString('base64url') !== encoded)
    throw contactError(contact, 'its address is not base64url');
  if (address.byteLength === 0 || address.byteLength > 512)
    throw contactError(contact, 'its address has a wrong length');
  if (own.format !== 'FI_ADDR_STR' && address.byteLength !== own.address.byteLength)
    throw contactError(
      contact,
      `its address has ${String(address.byteLength)} bytes instead of ${String(own.address.byteLength)}`,
    );
  return { family, format, address };
}
