// sendBatch(): many small messages out of one chunk, in one crossing into native code.
import { Endpoint as FiEndpoint } from '../fi/index.js';
import type { Core } from './core.js';
import { Kind, type Operation } from './operation.js';
import type { Peer } from './peer.js';
import { type Chunk, Lease } from './slab.js';

/** Each message starts on a cache line of its own. */
function aligned(length: number): number {
  return (length + 63) & ~63;
}

/** Posts small copied messages from `first` on, out of one chunk; how many the provider took. */
export function postBatch(
  core: Core,
  peer: Peer,
  items: readonly (Uint8Array | Lease)[],
  first: number,
): number {
  const operations: Operation[] = [];
  let bytes = 0;
  for (let index = first; index < items.length && operations.length < FiEndpoint.batchLimit; index++) {
    const item = items[index];
    if (item instanceof Lease || bytes + item.length > 65536) break;
    if (peer.inFlight + operations.length >= core.operations.sendsFree) break;
    const operation = core.operations.takeSend();
    if (operation === undefined) break;
    operations.push(operation);
    operation.length = item.length;
    bytes += aligned(item.length);
  }
  const count = operations.length;
  if (count === 0) {
    core.poll(false);
    return 0;
  }
  const chunk = core.memory.take(bytes);
  if (!chunk.slab.ready || !core.hasRoomFor(peer, bytes)) {
    for (const operation of operations) core.operations.release(operation);
    core.memory.release(chunk);
    return 0;
  }
  const { batch } = FiEndpoint;
  const memory = chunk.memory.id;
  let offset = 0;
  for (let index = 0; index < count; index++) {
    const item = items[first + index] as Uint8Array;
    chunk.bytes.set(item, offset);
    batch[index * 4] = operations[index].context;
    batch[index * 4 + 1] = memory;
    batch[index * 4 + 2] = chunk.offset + offset;
    batch[index * 4 + 3] = item.length;
    offset += aligned(item.length);
  }
  const taken = core.endpoint.sendBatch(count, peer.address);
  accountBatch(core, peer, chunk, operations, taken);
  if (taken === 0) {
    core.counters.timesWithoutRoom += 1;
    core.poll(false);
  }
  return taken;
}

function accountBatch(
  core: Core,
  peer: Peer,
  chunk: Chunk,
  operations: readonly Operation[],
  taken: number,
): void {
  for (let index = operations.length - 1; index >= taken; index--) core.operations.release(operations[index]);
  if (taken === 0) {
    core.memory.release(chunk);
    return;
  }
  chunk.users = taken;
  core.bytesInFlight += chunk.bytes.byteLength;
  peer.bytesInFlight += chunk.bytes.byteLength;
  for (let index = 0; index < taken; index++) {
    const operation = operations[index];
    operation.kind = Kind.Send;
    operation.chunk = chunk;
    operation.peer = peer;
    core.counters.bytesSent += operation.length;
    core.counters.bytesCopied += operation.length;
  }
  peer.inFlight += taken;
  core.counters.messagesSent += taken;
}
