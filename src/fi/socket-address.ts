// What the bytes of a socket address must be.
const AF_INET = 2;
const AF_INET6 = 10;

/** Bytes of struct sockaddr_in and sockaddr_in6. */
const socketLengths: Readonly<Record<number, number>> = { [AF_INET]: 16, [AF_INET6]: 28 };

/** What sa_family may be, for formats that are socket addresses. */
const socketFamilies: Readonly<Record<string, readonly number[] | undefined>> = {
  FI_SOCKADDR: [AF_INET, AF_INET6],
  FI_SOCKADDR_IN: [AF_INET],
  FI_SOCKADDR_IN6: [AF_INET6],
};

/**
 * What keeps bytes from being a socket address of a format; undefined where nothing does, or the format is of another
 * kind. Providers do not check all of it: after bytes of a family that nobody knows, net and tcp refuse every later
 * address, and rxd mistakes one for another.
 */
export function problemOfAddress(format: string, address: Uint8Array): string | undefined {
  const families = socketFamilies[format];
  if (families === undefined) return undefined;
  const { buffer, byteOffset, byteLength } = address;
  const family = byteLength < 2 ? 0 : new DataView(buffer, byteOffset).getUint16(0, true);
  const length = families.includes(family) ? socketLengths[family] : undefined;
  if (length === undefined) return `an address family of ${String(family)} is none of ${format}`;
  if (length === byteLength) return undefined;
  return `${String(byteLength)} bytes are no address of ${format}, which has ${String(length)}`;
}
