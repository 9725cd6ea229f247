/**
 * Types: what a program was not promised does not compile. `npm run typecheck` decides; an expected error that does not
 * come is an error itself. Nothing here runs but the harness around it.
 */
import { describe, expectTypeOf, it } from 'vitest';
import {
  type Availability,
  type CompletionError,
  type Endpoint,
  type FabricError,
  type Feature,
  type Message,
  type OpenOptions,
  type Peer,
  type Received,
  type RmaOperations,
  type TaggedOperations,
  explain,
  isAvailable,
  open,
} from 'libfabric';
import * as fi from 'libfabric/fi';

/** Compiled, never called. */
function compiled(_program: () => unknown): void {
  // The compiler has seen it.
}

declare const peer: Peer;
declare const data: Uint8Array;

describe('open()', () => {
  it('without features gives an endpoint without their methods', () => {
    compiled(async () => {
      const endpoint = await open();
      expectTypeOf(endpoint).toExtend<Endpoint>();
      // @ts-expect-error -- 'tagged' was not asked for
      await endpoint.sendTagged(peer, 1, data);
      // @ts-expect-error -- 'tagged' was not asked for
      await endpoint.recvTagged(1, 64);
      // @ts-expect-error -- 'rma' was not asked for
      await endpoint.read(peer, undefined, undefined);
      // @ts-expect-error -- 'rma' was not asked for
      await endpoint.write(peer, data, undefined);
      // @ts-expect-error -- 'atomic' was not asked for
      await endpoint.atomic(peer, 'sum', new Int32Array(1), undefined);
    });
  });

  it('with other options but no features gives none either', () => {
    compiled(async () => {
      const endpoint = await open({ provider: 'tcp', ordered: true });
      // @ts-expect-error -- 'tagged' was not asked for
      await endpoint.sendTagged(peer, 1, data);
      const empty = await open({ features: [] });
      // @ts-expect-error -- the list is empty
      await empty.recvTagged(1, 64);
    });
  });

  it("with 'tagged' gives the tagged methods and no others", () => {
    compiled(async () => {
      const endpoint = await open({ features: ['tagged'] });
      expectTypeOf(endpoint).toExtend<Endpoint & TaggedOperations>();
      expectTypeOf(endpoint.sendTagged(peer, 1, data)).toEqualTypeOf<Promise<void>>();
      expectTypeOf(endpoint.sendTagged(peer, 1n, data, { completion: 'delivery' })).toEqualTypeOf<
        Promise<void>
      >();
      expectTypeOf(endpoint.recvTagged(1, data, { ignore: 0xffn, from: peer })).toEqualTypeOf<
        Promise<Received>
      >();
      // @ts-expect-error -- a tag is a number or a bigint
      await endpoint.sendTagged(peer, '1', data);
      // @ts-expect-error -- the data is missing
      await endpoint.sendTagged(peer, 1);
      // @ts-expect-error -- 'rma' was not asked for
      await endpoint.read(peer, undefined, undefined);
    });
  });

  it('with several features gives the methods of all', () => {
    compiled(async () => {
      const endpoint = await open({ features: ['rma', 'tagged'] });
      expectTypeOf(endpoint).toExtend<TaggedOperations & RmaOperations>();
      // @ts-expect-error -- 'atomic' was not asked for
      await endpoint.atomic(peer, 'sum', new Int32Array(1), undefined);
    });
  });

  it('with features that are known at run time only gives the methods of any that it may be', () => {
    compiled(async () => {
      const some: Feature[] = [];
      const endpoint = await open({ features: some });
      expectTypeOf(endpoint).toExtend<Endpoint>();
    });
  });

  it('refuses unknown features, providers that are no text, and misspelt options', () => {
    compiled(async () => {
      // @ts-expect-error -- no such feature
      await open({ features: ['tags'] });
      // @ts-expect-error -- a name or several
      await open({ provider: 5 });
      // @ts-expect-error -- progress is auto, inline or thread
      await open({ progress: 'fast' });
      // @ts-expect-error -- no such option
      await open({ providers: ['tcp'] });
      // @ts-expect-error -- a signal is an AbortSignal
      await explain({ signal: 5 });
    });
    expectTypeOf<{ provider: readonly ['tcp', 'sockets'] }>().toExtend<OpenOptions>();
  });
});

describe('messages', () => {
  it('are Uint8Arrays, Leases, or a number of bytes to receive', () => {
    compiled(async () => {
      const endpoint = await open();
      expectTypeOf(endpoint.recv(64)).toEqualTypeOf<Promise<Received>>();
      expectTypeOf(endpoint.tryRecv()).toEqualTypeOf<Message | undefined>();
      expectTypeOf(endpoint.trySend(peer, Buffer.from('x'))).toEqualTypeOf<boolean>();
      await endpoint.send(peer, endpoint.memory.alloc(64));
      // @ts-expect-error -- text has to be encoded
      await endpoint.send(peer, 'text');
      // @ts-expect-error -- a contact is not a Peer
      await endpoint.send(endpoint.contact, data);
      // @ts-expect-error -- remote CQ data is a bigint
      await endpoint.send(peer, data, { immediate: 1 });
      // @ts-expect-error -- no such level
      await endpoint.send(peer, data, { completion: 'arrived' });
    });
  });

  it('come one by one, or in arrays where a batch is asked for', () => {
    compiled(async () => {
      const endpoint = await open();
      for await (const message of endpoint.messages()) expectTypeOf(message).toEqualTypeOf<Message>();
      for await (const message of endpoint.messages({ borrow: true }))
        expectTypeOf(message).toEqualTypeOf<Message>();
      for await (const batch of endpoint.messages({ batch: 16 }))
        expectTypeOf(batch).toEqualTypeOf<Message[]>();
    });
  });
});

describe('results', () => {
  it('of isAvailable() have to be looked at before use', () => {
    compiled(() => {
      const found: Availability = isAvailable();
      // @ts-expect-error -- only where it is available
      const path: string = found.path;
      if (!found.available) return found.remedy.length + found.reason.length;
      return path + found.path + found.version;
    });
  });

  it('of errors have codes', () => {
    expectTypeOf<CompletionError>().toExtend<FabricError>();
    expectTypeOf<FabricError['code']>().toExtend<string>();
    expectTypeOf<FabricError['errno']>().toEqualTypeOf<number>();
    expectTypeOf<CompletionError['providerErrno']>().toEqualTypeOf<number>();
  });
});

describe('the fi layer', () => {
  it('makes objects by open() only, and takes its own objects only', () => {
    compiled(async () => {
      const [info] = await fi.getInfo({ caps: ['FI_MSG'], endpointType: 'FI_EP_RDM' });
      // @ts-expect-error -- the constructor is private
      new fi.Fabric(1, info);
      const fabric = await fi.Fabric.open(info);
      // @ts-expect-error -- a Domain belongs to a Fabric
      await fi.Domain.open(info, info);
      const domain = await fi.Domain.open(fabric, info);
      // @ts-expect-error -- an EventQueue belongs to a Fabric
      await fi.EventQueue.open(info);
      // @ts-expect-error -- a Fabric cannot be bound
      (await fi.Endpoint.open(domain, info)).bind(fabric);
    });
  });

  it('sends and receives in Memory only, with tags as bigints', () => {
    compiled(async () => {
      const endpoint = {} as fi.Endpoint;
      const memory = fi.Memory.allocate(64);
      expectTypeOf(endpoint.send(memory, 0, 8, 0, 1)).toEqualTypeOf<boolean>();
      expectTypeOf(endpoint.sendTagged(memory, 0, 8, 0, 5n, 1)).toEqualTypeOf<boolean>();
      // @ts-expect-error -- a Uint8Array may be transferred away while it is in flight
      endpoint.send(data, 0, 8, 0, 1);
      // @ts-expect-error -- a tag is a bigint here
      endpoint.sendTagged(memory, 0, 8, 0, 5, 1);
      // @ts-expect-error -- onReadable is missing
      fi.Engine.start({} as fi.CompletionQueue, {});
      await endpoint.close();
    });
  });

  it('hides what is its own', () => {
    compiled(() => {
      const { raw } = {} as fi.Info;
      // @ts-expect-error -- an Info cannot be changed
      raw.caps = 1n;
    });
  });
});
