// Atomics on other processes' memory: the elements lie in one chunk, with what is compared and the results behind them.
import { rangeError, unsupportedError } from '../fi/errors.js';
import { type AtomicKind, type AtomicName, type Datatype, datatypeBytes } from '../fi/index.js';
import {
  type Elements,
  checkCompared,
  checkElements,
  copyOf,
  operationName,
  setBytes,
} from './atomic-arrays.js';
import { Kind } from './operation.js';
import type { OneSided, Request } from './one-sided.js';
import type { Peer } from './peer.js';
import { toCacheLines } from './slab.js';
import type { AtomicArray, Deadline, RemoteMemoryDescriptor } from './types.js';

const kinds: Readonly<Record<AtomicKind, Kind>> = {
  atomic: Kind.Atomic,
  fetch: Kind.FetchAtomic,
  compare: Kind.CompareAtomic,
};
const calls: Readonly<Record<AtomicKind, string>> = {
  atomic: 'fi_atomic',
  fetch: 'fi_fetch_atomic',
  compare: 'fi_compare_atomic',
};

/** What all three forms take. */
export interface AtomicArguments<A extends AtomicArray> {
  readonly peer: Peer;
  readonly operation: string;
  readonly operand: A;
  readonly compare?: A;
  readonly remote: RemoteMemoryDescriptor;
  readonly options: Deadline | undefined;
}

export class Atomics {
  readonly #oneSided: OneSided;
  /** How many elements the provider takes, of what was asked for before: that never changes. */
  readonly #limits = new Map<string, number>();

  constructor(oneSided: OneSided) {
    this.#oneSided = oneSided;
  }

  /** One of the three forms: what was there before in a new array, or, of 'atomic', the operand. */
  async run<A extends AtomicArray>(form: AtomicKind, asked: AtomicArguments<A>): Promise<A> {
    const oneSided = this.#oneSided;
    const { peer, operand, remote, options } = asked;
    oneSided.check(peer, options);
    const name = operationName(form, asked.operation);
    const elements = checkElements('operand', operand);
    const compared = form === 'compare' ? checkCompared(elements, asked.compare) : undefined;
    const { datatype, count, bytes } = elements;
    const { length } = bytes;
    const brings = form !== 'atomic';
    const target = oneSided.checkRemote(remote, length, {
      readable: brings,
      writable: name !== 'FI_ATOMIC_READ',
    });
    this.#checkSupport(form, elements, name, target.address);
    // What the program does to its arrays from here on changes nothing.
    const [given, comparand] = [bytes.slice(), compared?.bytes.slice()];
    const step = toCacheLines(length);
    const result = brings ? copyOf(operand) : operand;
    const { endpoint } = oneSided.core;
    const { address } = peer;
    const request: Request = {
      kind: kinds[form],
      peer,
      room: 3 * step,
      length,
      fill: (chunk) => {
        chunk.bytes.set(given);
        if (comparand !== undefined) chunk.bytes.set(comparand, step);
      },
      call: ({ memory, offset }, context) => {
        const results = offset + 2 * step;
        switch (form) {
          case 'atomic':
            return endpoint.atomic(memory, offset, count, address, target, datatype, name, context);
          case 'fetch':
            return endpoint.fetchAtomic(
              ...([memory, offset, count, results, address, target, datatype, name, context] as const),
            );
          case 'compare':
            return endpoint.compareAtomic(
              ...([memory, offset, count, offset + step, results] as const),
              ...([address, target, datatype, name, context] as const),
            );
        }
      },
    };
    if (brings)
      request.bring = (chunk) => {
        setBytes(result, chunk.bytes.subarray(2 * step, 2 * step + length));
      };
    await oneSided.start(request, options);
    return result;
  }

  #limit(form: AtomicKind, datatype: Datatype, name: AtomicName): number {
    const key = `${form} ${datatype} ${name}`;
    let limit = this.#limits.get(key);
    if (limit === undefined) {
      limit = this.#oneSided.core.endpoint.atomicLimit(form, datatype, name);
      this.#limits.set(key, limit);
    }
    return limit;
  }

  #checkSupport(form: AtomicKind, { datatype, count }: Elements, name: AtomicName, address: bigint): void {
    const { opened } = this.#oneSided.core;
    const limit = this.#limit(form, datatype, name);
    if (limit === 0)
      throw unsupportedError(
        `${opened.provider.name} has no ${calls[form]} of ${datatype} with ${name}`,
        calls[form],
      );
    if (count > limit)
      throw rangeError('operand.length', count, `at most ${String(limit)} elements, what the provider takes`);
    const size = datatypeBytes(datatype);
    if (address % BigInt(size) !== 0n)
      throw rangeError('remote.address', address, `a multiple of ${String(size)}, the bytes of an element`);
  }
}
