// How a message or a write completes, and what travels with it: flags of the data calls.
import {
  FI_COMMIT_COMPLETE,
  FI_COMPLETION,
  FI_DELIVERY_COMPLETE,
  FI_FENCE,
  FI_INJECT,
  FI_INJECT_COMPLETE,
  FI_MATCH_COMPLETE,
  FI_MORE,
  FI_REMOTE_CQ_DATA,
  FI_TRANSMIT_COMPLETE,
  FI_TRIGGER,
} from './constants.js';
import { Counter } from './counter.js';
import { checkUint64, rangeError, typeError } from './errors.js';
import { type Flags, flagBits, flagNames } from './names.js';
import type { FabricObject } from './object.js';
import { registers } from './registers.js';

// Flags of the data calls, as native/message.h numbers them.
const POST_IMMEDIATE = 1;
const POST_TRANSMIT_COMPLETE = 2;
const POST_DELIVERY_COMPLETE = 4;
const POST_INJECT_COMPLETE = 8;
const POST_MATCH_COMPLETE = 16;
const POST_COMMIT_COMPLETE = 32;

/** How a send completes, and what travels with it. */
export interface SendFlags {
  /** Remote CQ data, up to the domain's immediateSize bytes (FI_REMOTE_CQ_DATA). */
  immediate?: bigint | undefined;
  /**
   * When it completes. 'inject': its memory may be used again (FI_INJECT_COMPLETE). 'transmit': it no longer depends on this
   * side (FI_TRANSMIT_COMPLETE). 'delivery': it has arrived (FI_DELIVERY_COMPLETE). 'match': the peer's receive was found
   * (FI_MATCH_COMPLETE). 'commit': it survives a loss of power (FI_COMMIT_COMPLETE). 'buffer' (default): the endpoint's own
   * level. A provider that lacks a level may complete at another: docs/providers.md.
   */
  completion?: 'buffer' | 'inject' | 'transmit' | 'delivery' | 'match' | 'commit' | undefined;
}

/** The flags of a call; remote CQ data goes into the registers. */
export function postFlags(options: SendFlags | undefined): number {
  if (options === undefined) return 0;
  let flags = 0;
  if (options.immediate !== undefined) {
    flags |= POST_IMMEDIATE;
    registers().wide[0] = options.immediate;
  }
  switch (options.completion) {
    case undefined:
    case 'buffer':
      return flags;
    case 'transmit':
      return flags | POST_TRANSMIT_COMPLETE;
    case 'delivery':
      return flags | POST_DELIVERY_COMPLETE;
    case 'inject':
      return flags | POST_INJECT_COMPLETE;
    case 'match':
      return flags | POST_MATCH_COMPLETE;
    case 'commit':
      return flags | POST_COMMIT_COMPLETE;
    default:
      throw rangeError(
        'options.completion',
        options.completion,
        "'buffer', 'inject', 'transmit', 'delivery', 'match' or 'commit'",
      );
  }
}

/** When an operation starts (struct fi_triggered_context with FI_TRIGGER_THRESHOLD). */
export interface Trigger {
  /** Of the endpoint's Domain. It cannot be closed before the endpoint. */
  counter: Counter;
  /** The operation waits until the counter has this value; a whole number up to 2^53. */
  threshold: bigint | number;
}

/** Flags of a call that ends in msg, and what travels with it. */
export interface MessageOptions {
  /**
   * What fi_endpoint(3) and the call's own page list, as a bigint or as C names; default none. FI_MORE, FI_FENCE, FI_INJECT,
   * FI_COMPLETION (which only an endpoint with FI_SELECTIVE_COMPLETION needs) and the levels FI_INJECT_COMPLETE,
   * FI_TRANSMIT_COMPLETE, FI_DELIVERY_COMPLETE, FI_MATCH_COMPLETE, FI_COMMIT_COMPLETE.
   */
  flags?: Flags | undefined;
  /** Remote CQ data, up to the domain's immediateSize bytes (FI_REMOTE_CQ_DATA). */
  immediate?: bigint | undefined;
  /**
   * Has the operation wait for a counter (FI_TRIGGER), for endpoints opened with that capability; not with FI_INJECT. The
   * endpoint cannot be closed while it waits.
   */
  trigger?: Trigger | undefined;
}

/** As MessageOptions, for calls that carry no remote CQ data: atomics (fi_atomic(3)). */
export type AtomicMessageOptions = Pick<MessageOptions, 'flags' | 'trigger'>;

/** The flags that all calls with flags share. */
export const TRANSMIT_FLAGS =
  FI_MORE |
  FI_FENCE |
  FI_INJECT |
  FI_COMPLETION |
  FI_INJECT_COMPLETE |
  FI_TRANSMIT_COMPLETE |
  FI_DELIVERY_COMPLETE |
  FI_MATCH_COMPLETE |
  FI_COMMIT_COMPLETE;

/** Checks flags of a call. Others would be read by some provider as something else, or end the process. */
export function checkFlags(given: Flags | undefined, allowed: bigint, argument: string): bigint {
  const flags = flagBits('operation', given, argument);
  if ((flags & ~allowed) !== 0n)
    throw rangeError(
      argument,
      flagNames('operation', flags & ~allowed).join(' | '),
      `made of ${flagNames('operation', allowed).join(', ')}`,
    );
  return flags;
}

// Where the addon looks for them (native/trigger.cc).
const COUNTER = 12;
const THRESHOLD = 13;

/** Puts what an operation waits for into the registers, and answers the flag that says so; none without a trigger. */
export function putTrigger(endpoint: FabricObject, trigger: Trigger | undefined, argument: string): bigint {
  if (trigger === undefined) return 0n;
  if (typeof trigger !== 'object' || (trigger as unknown) === null)
    throw typeError(argument, trigger, '{ counter, threshold }');
  const { counter, threshold } = trigger;
  if (!(counter instanceof Counter)) throw typeError(`${argument}.counter`, counter, 'a Counter');
  endpoint.parents.at(0)?.checkOwns(`${argument}.counter`, counter);
  const { call } = registers();
  call[THRESHOLD] = Number(checkUint64(`${argument}.threshold`, threshold, BigInt(Number.MAX_SAFE_INTEGER)));
  call[COUNTER] = counter.handle;
  return FI_TRIGGER;
}

/** Puts flags of an endpoint's call that ends in msg, its remote CQ data and its trigger into the registers. */
export function putOptions(
  endpoint: FabricObject,
  options: MessageOptions | undefined,
  allowed = TRANSMIT_FLAGS,
): void {
  const { wide } = registers();
  const flags = checkFlags(options?.flags, allowed, 'options.flags');
  const immediate = options?.immediate;
  if (immediate !== undefined) wide[0] = checkUint64('options.immediate', immediate);
  const waits = putTrigger(endpoint, options?.trigger, 'options.trigger');
  if (waits !== 0n && (flags & FI_INJECT) !== 0n)
    throw rangeError(
      'options.flags',
      'FI_INJECT',
      'without FI_INJECT',
      'An operation with a trigger needs its memory later',
    );
  wide[5] = flags | waits | (immediate === undefined ? 0n : FI_REMOTE_CQ_DATA);
}
