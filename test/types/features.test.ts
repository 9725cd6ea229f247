/**
 * Types of what features add: what was not asked for does not compile. `npm run typecheck` decides; an expected error that
 * does not come is an error itself. Nothing here runs but the harness around it.
 */
import { describe, expectTypeOf, it } from 'vitest';
import {
  type AtomicOperations,
  type Endpoint,
  type MemoryRegion,
  type Peer,
  RemoteMemory,
  type RmaOperations,
  open,
} from 'libfabric';

/** Compiled, never called. */
function compiled(_program: () => unknown): void {
  // The compiler has seen it.
}

declare const peer: Peer;
declare const remote: RemoteMemory;
declare const data: Uint8Array;

describe("an endpoint opened with 'rma'", () => {
  it('reads and writes', () => {
    compiled(async () => {
      const endpoint = await open({ features: ['rma'] });
      expectTypeOf(endpoint).toExtend<Endpoint & RmaOperations>();
      expectTypeOf(endpoint.read(peer, 64, remote)).toEqualTypeOf<Promise<Uint8Array>>();
      expectTypeOf(endpoint.write(peer, data, remote)).toEqualTypeOf<Promise<void>>();
      await endpoint.read(peer, endpoint.memory.alloc(64), remote, { timeoutMs: 5 });
      await endpoint.write(peer, data, remote, { completion: 'transmit', signal: AbortSignal.timeout(5) });
      await endpoint.read(peer, data, { key: 1n, address: 0n, length: 8 });
      // @ts-expect-error -- JSON has to be read with RemoteMemory.from()
      await endpoint.read(peer, data, remote.toJSON());
      // @ts-expect-error -- a contact is not a Peer
      await endpoint.write(endpoint.contact, data, remote);
      // @ts-expect-error -- no such level
      await endpoint.write(peer, data, remote, { completion: 'arrived' });
      // @ts-expect-error -- the memory is missing
      await endpoint.write(peer, data);
    });
  });

  it('has no atomics and no tags', () => {
    compiled(async () => {
      const endpoint = await open({ features: ['rma'] });
      // @ts-expect-error -- 'atomic' was not asked for
      await endpoint.atomic(peer, 'sum', Int32Array.of(1), remote);
      // @ts-expect-error -- 'atomic' was not asked for
      await endpoint.fetchAtomic(peer, 'sum', Int32Array.of(1), remote);
      // @ts-expect-error -- 'atomic' was not asked for
      await endpoint.compareAtomic(peer, 'cswap', Int32Array.of(1), Int32Array.of(1), remote);
      // @ts-expect-error -- 'tagged' was not asked for
      await endpoint.sendTagged(peer, 1, data);
    });
  });
});

describe("an endpoint opened with 'atomic'", () => {
  it('gives arrays of the kind that it was given', () => {
    compiled(async () => {
      const endpoint = await open({ features: ['atomic'] });
      expectTypeOf(endpoint).toExtend<Endpoint & AtomicOperations>();
      expectTypeOf(endpoint.atomic(peer, 'sum', Float64Array.of(1), remote)).toEqualTypeOf<Promise<void>>();
      const one = BigUint64Array.of(1n);
      expectTypeOf(endpoint.fetchAtomic(peer, 'read', one, remote)).toEqualTypeOf<Promise<typeof one>>();
      expectTypeOf(endpoint.compareAtomic(peer, 'cswap', one, one, remote)).toEqualTypeOf<
        Promise<typeof one>
      >();
      await endpoint.atomic(peer, 'bor', Int8Array.of(1), remote, { timeoutMs: 5 });
    });
  });

  it('knows which form has which operation, and which arrays', () => {
    compiled(async () => {
      const endpoint = await open({ features: ['atomic'] });
      // @ts-expect-error -- reads only with fetchAtomic()
      await endpoint.atomic(peer, 'read', Int32Array.of(1), remote);
      // @ts-expect-error -- compares only with compareAtomic()
      await endpoint.fetchAtomic(peer, 'cswap', Int32Array.of(1), remote);
      // @ts-expect-error -- sums need nothing to compare with
      await endpoint.compareAtomic(peer, 'sum', Int32Array.of(1), Int32Array.of(1), remote);
      // @ts-expect-error -- of one kind both
      await endpoint.compareAtomic(peer, 'cswap', Int32Array.of(1), BigInt64Array.of(1n), remote);
      // @ts-expect-error -- a typed array
      await endpoint.atomic(peer, 'sum', [1], remote);
      // @ts-expect-error -- clamping is nothing that a NIC does
      await endpoint.atomic(peer, 'max', new Uint8ClampedArray(1), remote);
      // @ts-expect-error -- 'rma' was not asked for
      await endpoint.write(peer, data, remote);
    });
  });
});

describe('all features', () => {
  it('add up', () => {
    compiled(async () => {
      const endpoint = await open({ features: ['atomic', 'tagged', 'rma'] });
      await endpoint.sendTagged(peer, 1, data);
      await endpoint.write(peer, data, remote);
      await endpoint.atomic(peer, 'sum', Int32Array.of(1), remote);
    });
  });

  it('share memory, which any endpoint can register', () => {
    compiled(async () => {
      const endpoint = await open();
      expectTypeOf(endpoint.memory.register(64)).toEqualTypeOf<Promise<MemoryRegion>>();
      const region = await endpoint.memory.register(64, ['remoteRead', 'remoteWrite']);
      expectTypeOf(region.remote).toEqualTypeOf<RemoteMemory>();
      expectTypeOf(RemoteMemory.from(region.remote.toBytes())).toEqualTypeOf<RemoteMemory>();
      // @ts-expect-error -- no such access
      await endpoint.memory.register(64, ['remote']);
    });
  });
});
