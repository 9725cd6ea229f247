// Operations on several pieces of memory: what they are called by programs, and how the addon is told of them.
import { rangeError, typeError } from './errors.js';
import { Memory } from './memory.js';
import { MAX_PARTS, MAX_REMOTE_PARTS, registers } from './registers.js';
import { RemoteMemory } from './remote-memory.js';

/** A part of a Memory, one of several that an operation uses (struct iovec, with its descriptor). */
export interface Part {
  /** Where it lies. */
  readonly memory: Memory;
  /** Bytes from the start of the memory; default 0. */
  readonly offset?: number | undefined;
  /** Bytes; default all from the offset on. */
  readonly length?: number | undefined;
}

/** How many parts an operation may have. */
export interface PartLimits {
  readonly least: number;
  readonly most: number;
}

/** What an element of a list is called in an error; nothing else builds it, since data calls make no strings. */
export const nameOf = (list: string, index: number): string => `${list}[${String(index)}]`;

function checkList(argument: string, list: unknown, { least, most }: PartLimits): readonly unknown[] {
  if (!Array.isArray(list)) throw typeError(argument, list, 'an array');
  if (list.length < least || list.length > most)
    throw rangeError(
      `${argument}.length`,
      list.length,
      least === most ? String(least) : `from ${String(least)} to ${String(most)}`,
    );
  return list;
}

/** Puts parts into the registers, from the place `first` on, and answers how long they are together. */
export function putParts(argument: string, parts: readonly Part[], limits: PartLimits, first = 0): number {
  checkList(argument, parts, { least: limits.least, most: Math.min(limits.most, MAX_PARTS - first) });
  const target = registers().parts;
  let total = 0;
  for (const [index, part] of parts.entries()) {
    if (typeof part !== 'object' || part === null)
      throw typeError(nameOf(argument, index), part, '{ memory, offset, length }');
    const { memory, offset = 0 } = part;
    if (!(memory instanceof Memory)) throw typeError(`${nameOf(argument, index)}.memory`, memory, 'a Memory');
    const length = part.length ?? memory.length - offset;
    const at = 3 * (first + index);
    target[at] = memory.handle;
    target[at + 1] = offset;
    target[at + 2] = length;
    total += length;
  }
  return total;
}

/**
 * Puts what names the other side's memory into the registers: as much of it as `length` bytes take, in order, in multiples
 * of `unit`. Answers how many pieces that are.
 */
export function putRemotes(
  remotes: readonly RemoteMemory[],
  length: number,
  limit: number,
  unit = 1,
): number {
  checkList('remotes', remotes, { least: 1, most: Math.min(limit, MAX_REMOTE_PARTS) });
  const target = registers().remoteParts;
  let count = 0;
  let left = length;
  for (const [index, remote] of remotes.entries()) {
    if (!(remote instanceof RemoteMemory))
      throw typeError(nameOf('remotes', index), remote, 'a RemoteMemory');
    const bytes = Math.min(left, remote.length - (remote.length % unit));
    if (bytes === 0 && index !== 0) continue;
    target[3 * count] = remote.address;
    target[3 * count + 1] = BigInt(Math.max(bytes, 0));
    target[3 * count + 2] = remote.key;
    left -= bytes;
    count++;
  }
  if (left > 0)
    throw rangeError(
      'the length of the parts',
      length,
      `at most ${String(length - left)}, which ${remotes.length === 1 ? 'the RemoteMemory has' : 'all RemoteMemory have together'}`,
    );
  return count;
}
