// The side that asks and measures.
import type { Endpoint, Peer } from 'libfabric';
import { sendOrder } from './orders.js';
import { Pattern } from './pattern.js';

/** One row of the table. */
export interface Row {
  size: number;
  roundTrips: number;
  /** Of a message there and back. */
  p50Microseconds: number;
  p99Microseconds: number;
  /** One way, one promise for each message. */
  messagesPerSecond: number;
  gigabitsPerSecond: number;
}

const SIZES = [0, 64, 1024, 65536, 1048576];
/** Each measurement grows until it takes so long, so that the demo takes a few seconds on every provider. */
const ENOUGH_MS = 250;
const FIRST_ROUND_TRIPS = 32;
const FIRST_MESSAGES = 64;
const MOST_MESSAGES = 1 << 20;

export async function ping(endpoint: Endpoint, peer: Peer, onRow: (row: Row) => void): Promise<void> {
  for (const size of SIZES) {
    const times = await grow(FIRST_ROUND_TRIPS, (count) => roundTrips(endpoint, peer, size, count));
    const sorted = times.result.sort();
    const stream = await grow(FIRST_MESSAGES, (count) => oneWay(endpoint, peer, size, count));
    const messagesPerSecond = (stream.count / stream.ms) * 1000;
    onRow({
      size,
      roundTrips: times.count,
      p50Microseconds: percentile(sorted, 0.5),
      p99Microseconds: percentile(sorted, 0.99),
      messagesPerSecond,
      gigabitsPerSecond: (messagesPerSecond * size * 8) / 1e9,
    });
  }
  await sendOrder(endpoint, peer, { kind: 'end', size: 0, count: 0 });
}

/** Measures with ever more messages until it takes long enough. What came before was the warm-up. */
async function grow<T>(
  first: number,
  measure: (count: number) => Promise<T>,
): Promise<{ count: number; ms: number; result: T }> {
  for (let count = first; ;) {
    const start = performance.now();
    const result = await measure(count);
    const ms = performance.now() - start;
    if (ms >= ENOUGH_MS || count === MOST_MESSAGES) return { count, ms, result };
    // What should take a little longer than enough; at first, while all is cold, in steps.
    const wanted = Math.ceil((count * ENOUGH_MS * 1.2) / ms);
    count = Math.min(MOST_MESSAGES, count * 16, Math.max(count + 1, wanted));
  }
}

/** How long each message took there and back, in µs. */
async function roundTrips(
  endpoint: Endpoint,
  peer: Peer,
  size: number,
  count: number,
): Promise<Float64Array> {
  await sendOrder(endpoint, peer, { kind: 'echo', size, count });
  const pattern = new Pattern(size);
  const message = new Uint8Array(size);
  const answer = new Uint8Array(size);
  const times = new Float64Array(count);
  for (let number = 0; number < count; number++) {
    pattern.write(message, number);
    const start = performance.now();
    await endpoint.send(peer, message);
    const { data } = await endpoint.recv(answer);
    times[number] = (performance.now() - start) * 1000;
    pattern.check(data, number);
  }
  return times;
}

/** Sends as fast as it can, and waits until the other side has checked the last message. */
async function oneWay(endpoint: Endpoint, peer: Peer, size: number, count: number): Promise<void> {
  await sendOrder(endpoint, peer, { kind: 'take', size, count });
  const pattern = new Pattern(size);
  const message = new Uint8Array(size);
  pattern.write(message, 0);
  for (let number = 0; number < count; number++) {
    if (size >= 4) pattern.renumber(message, number);
    // The message is copied, and room waited for where there is none: the buffer may be used again at once.
    await endpoint.send(peer, message);
  }
  await endpoint.recv(16);
}

function percentile(sorted: Float64Array, part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}
