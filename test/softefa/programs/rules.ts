// What rules.test.ts asks a process on a software EFA device: `rules.js RULE [ARGUMENT]` prints one line of JSON.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { open } from 'libfabric';
import * as fi from 'libfabric/fi';
import { bareHints, hintsOf, listFabrics, openSide, said, say, turn } from './device.js';

const efa = { provider: 'efa' } as const;

/** One message each way between two endpoints of this process. */
async function exchange(options: Parameters<typeof open>[0] = {}): Promise<string> {
  const [a, b] = await Promise.all([open({ ...efa, ...options }), open({ ...efa, ...options })]);
  const received = b.recv(64);
  await a.send(a.peer(b.contact), Buffer.from('there'));
  const back = a.recv(64);
  await b.send(b.peer(a.contact), Buffer.from((await received).data));
  const text = Buffer.from((await back).data).toString();
  await Promise.all([a.close(), b.close()]);
  return text;
}

const rules: Readonly<Record<string, (argument: string) => unknown>> = {
  /** The outcome of the first calls, each of which would be the one that ends the process. */
  async environment() {
    const outcome = (call: Promise<unknown>): Promise<unknown> => call.then(() => 'fine', said);
    const getInfo = await outcome(fi.getInfo());
    return { getInfo, open: await outcome(open(efa).then((endpoint) => endpoint.close())) };
  },

  /** A child process while endpoints are open, between two messages. */
  async fork() {
    const [a, b] = await Promise.all([open(efa), open(efa)]);
    const toB = a.peer(b.contact);
    const messages: string[] = [];
    for (const word of ['before', 'after']) {
      const received = b.recv(64);
      await a.send(toB, Buffer.from(word));
      messages.push(Buffer.from((await received).data).toString());
      if (word === 'before') await once(spawn('true'), 'exit');
    }
    await Promise.all([a.close(), b.close()]);
    return { messages, needsSupport: fi.libraryVersion().forkNeedsSupport };
  },

  /** Whether shared memory or its signal handlers have come into the process, and whether a message arrived in so many ms. */
  async sharedMemory(timeoutMs) {
    const handlers = (): string => {
      const status = readFileSync('/proc/self/status', 'utf8');
      return /^SigCgt:\s*(\S+)/m.exec(status)?.[1] ?? '';
    };
    const before = handlers();
    const [a, b] = await Promise.all([open(efa), open(efa)]);
    const received = b.recv(64, { timeoutMs: Number(timeoutMs) }).then(
      ({ length }) => length,
      (error: unknown) => (error as Error).name,
    );
    await a.send(a.peer(b.contact), Buffer.from('there'));
    const arrived = await received;
    const maps = readFileSync('/proc/self/maps', 'utf8');
    const mapped = maps.split('\n').filter((line) => line.includes('/dev/shm/')).length;
    await Promise.all([a.close({ timeoutMs: 100 }), b.close({ timeoutMs: 100 })]);
    return { mapped, arrived, handlers: { before, after: handlers() } };
  },

  /** Which fabrics the provider lists, and which one an endpoint is on that could be on each. */
  async fabric() {
    const { fabricName: _, ...hints } = hintsOf('efa');
    const listed = await fi.getInfo(hints);
    const endpoint = await open({ ...efa, ordered: false });
    const { fabric } = endpoint;
    await endpoint.close();
    return { listed: [...new Set(listed.map((info) => info.fabricName))], fabric };
  },

  /** What an unknown wait object is answered with, and whether endpoints work without one. */
  async waitObjects() {
    const [info] = await fi.getInfo(hintsOf('efa'));
    const fabric = await fi.Fabric.open(info);
    const domain = await fi.Domain.open(fabric, info);
    const granted: Record<string, string> = {};
    for (const waitObject of ['FI_WAIT_FD', 'FI_WAIT_UNSPEC', 'FI_WAIT_NONE']) {
      try {
        const queue = await fi.CompletionQueue.open(domain, { waitObject });
        granted[waitObject] = queue.waitObject;
        await queue.close();
      } catch (error) {
        granted[waitObject] = String(said(error).code);
      }
    }
    await domain.close();
    await fabric.close();
    return { granted, exchanged: await exchange() };
  },

  /** Good addresses around a bad one, and what the call left of the program's bytes. */
  async addresses() {
    const [info] = await fi.getInfo(hintsOf('efa'));
    const fabric = await fi.Fabric.open(info);
    const domain = await fi.Domain.open(fabric, info);
    const vector = await fi.AddressVector.open(domain);
    const address = (number: number): Uint8Array => {
      const bytes = new Uint8Array(32);
      bytes.set(info.sourceAddress ?? []);
      bytes[16] = number;
      return bytes;
    };
    const given = [address(1), new Uint8Array(32), address(2)];
    const copies = given.map((bytes) => bytes.slice());
    const inserted = await vector.insertMany(given);
    let alone: unknown = 'inserted';
    try {
      vector.insert(given[1]);
    } catch (error) {
      alone = said(error).code;
    }
    await vector.close();
    await domain.close();
    await fabric.close();
    return {
      inserted,
      alone,
      unchanged: given.every((bytes, index) => Buffer.compare(bytes, copies[index]) === 0),
    };
  },

  /** Which calls an endpoint has whose tables are not all there, and what the missing ones answer. */
  async tables() {
    const side = await openSide(await bareHints());
    const { endpoint, addresses, memory, info } = side;
    const peer = addresses.insert(endpoint.getName());
    const refused: Record<string, unknown> = {};
    const calls: Record<string, () => unknown> = {
      sendTagged: () => endpoint.sendTagged(memory, 0, 8, peer, 1n, 0),
      injectTagged: () => endpoint.injectTagged(memory, 0, 0, peer, 1n),
      recvTagged: () => endpoint.recvTagged(memory, 0, 8, 1n, 2),
      cancel: () => endpoint.cancel(1),
    };
    endpoint.recv(memory, 0, 4096, 1);
    for (const [name, call] of Object.entries(calls)) {
      try {
        refused[name] = call();
      } catch (error) {
        refused[name] = said(error).code;
      }
    }
    const has = endpoint.calls;
    await side.close();
    return { fabric: info.fabricName, type: info.endpointType, has, refused };
  },

  /** A receiver that asks its queue for nothing, and looks what it has only at the end, for each fabric that is there. */
  async realBuffer() {
    const lengths: Record<string, number> = {};
    for (const fabric of await listFabrics()) {
      const [a, b] = [await openSide(hintsOf(fabric)), await openSide(hintsOf(fabric))];
      const toB = a.addresses.insert(b.endpoint.getName());
      b.addresses.insert(a.endpoint.getName());
      b.endpoint.recv(b.memory, 0, 4096, 0);
      let isPosted = false;
      while (a.queue.read() === 0) {
        b.queue.read(0);
        isPosted ||= a.endpoint.send(a.memory, 0, 1000, toB, 0);
        await turn();
      }
      // As long as it takes, of which the test's bound is the judge.
      while (b.queue.read() === 0) await turn();
      lengths[fabric] = b.queue.completions.length(0);
      await a.close();
      await b.close();
    }
    return lengths;
  },

  /** As many operations in flight as a queue has room for, unread: what the next one is told, and what came of them all. */
  async credits() {
    const answers: Record<string, unknown> = {};
    for (const fabric of await listFabrics()) {
      const capacity = 16;
      const [a, b] = [await openSide(hintsOf(fabric), capacity), await openSide(hintsOf(fabric), capacity)];
      const toB = a.addresses.insert(b.endpoint.getName());
      b.addresses.insert(a.endpoint.getName());
      for (let context = 0; context < capacity; context++)
        b.endpoint.recv(b.memory, context * 64, 64, context);
      for (let context = 0; context < capacity;) {
        if (a.endpoint.send(a.memory, 0, 64, toB, context)) context += 1;
        else a.queue.read(0);
        b.queue.read(0);
        await turn();
      }
      const next: unknown[] = [];
      for (const context of [0, capacity]) {
        try {
          next.push(a.endpoint.send(a.memory, 0, 64, toB, context));
        } catch (error) {
          next.push(said(error).code);
        }
      }
      let sent = 0;
      let received = 0;
      const errors: number[] = [];
      const note = (queue: fi.CompletionQueue): number => {
        const count = queue.read();
        for (let index = 0; index < count; index++)
          if (queue.completions.error(index) !== 0) errors.push(queue.completions.error(index));
        return count;
      };
      while (sent < capacity || received < capacity) {
        sent += note(a.queue);
        received += note(b.queue);
        await turn();
      }
      answers[fabric] = { next, sent, received, errors };
      await a.close();
      await b.close();
    }
    return answers;
  },
};

const [, , rule = '', argument = ''] = process.argv;
say(await rules[rule](argument));
