/** The table of a ping-pong, column for column as fi_pingpong prints it. */

export interface SizeResult {
  /** Bytes of a message. */
  readonly size: number;
  /** Messages sent by one side. */
  readonly sent: number;
  /** Messages that the client got. */
  readonly acknowledged: number;
  readonly microseconds: number;
}

const TRANSFERS_PER_ITERATION = 2;

export function headerLine(): string {
  return (
    'bytes'.padEnd(8) +
    '#sent'.padEnd(8) +
    '#ack'.padEnd(9) +
    'total'.padEnd(8) +
    'time'.padStart(8) +
    ' ' +
    'MB/sec'.padStart(10) +
    'usec/xfer'.padStart(13) +
    'Mxfers/sec'.padStart(13)
  );
}

export function resultLine({ size, sent, acknowledged, microseconds }: SizeResult): string {
  const transfers = sent * TRANSFERS_PER_ITERATION;
  const bytes = transfers * size;
  const each = microseconds / transfers;
  return (
    sizeText(size).padEnd(8) +
    countText(sent).padEnd(8) +
    differenceText(sent, acknowledged).padEnd(9) +
    sizeText(bytes).padEnd(8) +
    `${(microseconds / 1e6).toFixed(2)}s`.padStart(9) +
    (bytes / microseconds).toFixed(2).padStart(10) +
    each.toFixed(2).padStart(11) +
    (1 / each).toFixed(2).padStart(11)
  );
}

/** Bytes in units of 1024, rounded down; below 10 of a unit with one digit more, where that is not 0. */
function sizeText(bytes: number): string {
  const [base, unit] =
    bytes >= 1 << 30
      ? [1 << 30, 'g']
      : bytes >= 1 << 20
        ? [1 << 20, 'm']
        : bytes >= 1 << 10
          ? [1 << 10, 'k']
          : [1, ''];
  const whole = Math.floor(bytes / base);
  const fraction = whole < 10 ? Math.floor(((bytes % base) * 10) / base) : 0;
  return fraction === 0 ? `${String(whole)}${unit}` : `${String(whole)}.${String(fraction)}${unit}`;
}

/** A count in units of 1000, rounded down. */
function countText(count: number): string {
  const [base, unit] =
    count >= 1e9 ? [1e9, 'b'] : count >= 1e6 ? [1e6, 'm'] : count >= 1e3 ? [1e3, 'k'] : [1, ''];
  return `${String(Math.floor(count / base))}${unit}`;
}

/** '=' and the count where all came, else how many came too many or too few. */
function differenceText(sent: number, acknowledged: number): string {
  if (sent === acknowledged) return `=${countText(acknowledged)}`;
  return sent < acknowledged ? `-${countText(acknowledged - sent)}` : `+${countText(sent - acknowledged)}`;
}
