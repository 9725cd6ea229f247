// The only file that builds errors. Codes are stable, messages are not.
import { loadAddon } from '../native.js';
import { FI_ENOEQ, FI_ENOSYS, FI_EOPBADSTATE, FI_EOPNOTSUPP, errnoName } from './errno.js';
import { explainProviderError } from './provider-errors.js';

/** Codes of this package's own; every other code is the C name of an fi_errno, such as FI_ENOMEM (fi_errno(3)). */
export type FabricErrorCode =
  | 'ERR_FABRIC_CLOSED'
  | 'ERR_FABRIC_BUSY'
  | 'ERR_FABRIC_UNSUPPORTED'
  | 'ERR_FABRIC_UNAVAILABLE'
  | 'ERR_FABRIC_ADDRESS'
  | 'ERR_FABRIC_ENVIRONMENT'
  | (string & {});

/** A call into libfabric that failed, or that this package refused to make. */
export class FabricError extends Error {
  /** 'FabricError', or 'CompletionError'. */
  override readonly name: string = 'FabricError';
  /** A stable code: the C name of the fi_errno, or one of ERR_FABRIC_*. */
  readonly code: FabricErrorCode;
  /** The positive fi_errno; 0 where libfabric was not called. */
  readonly errno: number;
  /** The C call that failed, or undefined where none was made. */
  readonly call: string | undefined;

  constructor(message: string, code: FabricErrorCode, errno = 0, call?: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.errno = errno;
    this.call = call;
  }
}

/** What a failed completion says (fi_cq_readerr(3)). */
export interface CompletionFailure {
  /** The positive fi_errno. */
  errno: number;
  /** The provider's own error number. */
  providerErrno: number;
  /** The provider's own words. */
  providerMessage: string;
  /** libfabric's name of the provider: the meanings of its error numbers are looked up by it. */
  provider?: string | undefined;
  /** What failed, such as 'send'. */
  operation: string;
  /** The contact of the other side, where it is known. */
  peer?: string | undefined;
  /** Bytes of the operation. */
  length: number;
  /** The tag of a tagged operation. */
  tag?: bigint | undefined;
}

/** An operation that was accepted and then failed: the error entry of its completion (fi_cq_readerr(3)). */
export class CompletionError extends FabricError {
  /** 'CompletionError'. */
  override readonly name = 'CompletionError';
  /** The provider's own error number (fi_cq_err_entry.prov_errno). */
  readonly providerErrno: number;
  /** The provider's own words (fi_cq_strerror). */
  readonly providerMessage: string;
  /** The name of the provider's error, such as 'REMOTE_ERROR_BAD_DEST_QPN', where it is known: on efa. */
  readonly providerErrorName: string | undefined;
  /** What happened, in plain words, where the provider's error is known: on efa. */
  override readonly cause: string | undefined;
  /** What to do about it, where the provider's error is known: on efa. */
  readonly remedy: string | undefined;
  /**
   * What was called: 'send', 'recv', 'sendTagged', 'recvTagged', 'write', 'read', 'atomic', 'fetchAtomic' or
   * 'compareAtomic'; 'unknown' for an injected message, and for a fault that belongs to no operation.
   */
  readonly operation: string;
  /** The contact of the other side, where it is known. */
  readonly peer: string | undefined;
  /** Bytes of the operation. */
  readonly length: number;
  /** The tag of a tagged operation. */
  readonly tag: bigint | undefined;

  constructor(failure: CompletionFailure) {
    const { errno, providerErrno, providerMessage, provider, operation, peer, length, tag } = failure;
    const meaning = provider === undefined ? undefined : explainProviderError(provider, providerErrno);
    const to = peer === undefined ? '' : `, peer ${peer}`;
    super(
      `${operation} of ${String(length)} bytes failed: ${textOf(errno)} (${errnoName(errno)}); the provider says ` +
        `"${providerMessage}" (${String(providerErrno)})${to}` +
        (meaning === undefined ? '' : `. That is: ${meaning.cause}. What to do: ${meaning.remedy}`),
      errnoName(errno),
      errno,
      'fi_cq_readerr',
    );
    this.providerErrno = providerErrno;
    this.providerMessage = providerMessage;
    this.providerErrorName = meaning?.name;
    this.cause = meaning?.cause;
    this.remedy = meaning?.remedy;
    this.operation = operation;
    this.peer = peer;
    this.length = length;
    this.tag = tag;
  }
}

// The addon's own refusals, as native/status.h numbers them.
export const STATUS_CLOSED = -10001;
export const STATUS_OUT_OF_RANGE = -10002;
export const STATUS_CONTEXT_BUSY = -10003;
export const STATUS_NO_SUCH_PEER = -10004;
export const STATUS_UNSUPPORTED = -10005;
export const STATUS_BUSY = -10006;
export const STATUS_UNAVAILABLE = -10007;
export const STATUS_NOT_BOUND = -10008;
export const STATUS_MISALIGNED = -10009;
export const STATUS_NOT_CLAIMED = -10010;
export const STATUS_NOT_REGISTERED = -10011;
export const STATUS_DEVICE_MEMORY = -10012;
export const STATUS_NO_PREFIX = -10013;
export const STATUS_WAITING = -10014;
export const STATUS_CIRCULAR = -10015;
export const STATUS_NOT_SHARED = -10016;
export const STATUS_OTHER_DIRECTION = -10017;
export const STATUS_UNFINISHED = -10018;
export const STATUS_UNTOLD = -10019;
export const STATUS_UNREAD = -10020;
/** -FI_EAGAIN: no room now, or nothing there. A plain value everywhere, never an error. */
export const STATUS_AGAIN = -11;

/** `fi_strerror(3)`: libfabric's words for an errno. */
function textOf(errno: number): string {
  const loaded = loadAddon();
  const text = loaded.addon?.errorText(errno) ?? '';
  return text === '' ? `error ${String(errno)}` : text;
}

/** What a caller may do about an errno, where there is something to say. */
const remedies: Readonly<Record<number, string>> = {
  12: 'memory may be short, or locked memory limited: see `ulimit -l`',
  13: 'check the permissions of the device files in /dev/infiniband',
  28: 'free space in /dev/shm, or give the container more (docker run --shm-size)',
  61: 'no provider matches: explain() says what refuses each one',
  98: 'the address is in use: choose another service (port), or none',
  99: 'the address is not one of this host: give `node` an address that `ip addr` lists',
};

/** Where the errno alone means something else. */
const remediesOfCalls: Readonly<Record<string, string>> = {
  'fi_av_insert 99':
    "the provider refuses the address; provider efa of libfabric 1.17 does so for more endpoints of one's own host than FI_EFA_SHM_AV_SIZE, with FI_EFA_ENABLE_SHM_TRANSFER=1",
};

/** The error of a negative status. `call` is the C call that gave it; `about` names the object or argument. */
export function statusError(status: number, call: string, about = ''): FabricError {
  const what = about === '' ? '' : ` (${about})`;
  switch (status) {
    case STATUS_CLOSED:
      return closedError(about === '' ? call : about);
    case STATUS_OUT_OF_RANGE:
      return new FabricError(
        `${call}: offset and length are outside the memory${what}`,
        'FI_EINVAL',
        22,
        call,
      );
    case STATUS_CONTEXT_BUSY:
      return new FabricError(
        `${call}: the context is in flight or not below the queue's capacity${what}; choose another`,
        'ERR_FABRIC_BUSY',
        0,
        call,
      );
    case STATUS_NO_SUCH_PEER:
      return new FabricError(
        `${call}: the address is not in the endpoint's AddressVector${what}; insert it first`,
        'ERR_FABRIC_ADDRESS',
        0,
        call,
      );
    case STATUS_UNSUPPORTED:
      return unsupportedError(`the provider has no ${call}${what}`, call);
    case STATUS_BUSY:
      return new FabricError(`${call}: busy${what}`, 'ERR_FABRIC_BUSY', 16, call);
    case STATUS_UNAVAILABLE:
      return new FabricError(`${call}: libfabric is not loaded`, 'ERR_FABRIC_UNAVAILABLE', 0, call);
    case STATUS_MISALIGNED:
      return new FabricError(
        `${call}: the elements must lie at multiples of their size, here and there${what}`,
        'FI_EINVAL',
        22,
        call,
      );
    case STATUS_NO_PREFIX:
      return new FabricError(
        `${call}: a datagram's length includes the prefix that the provider asks for: at least ` +
          `info.transmit.messagePrefixSize bytes, and info.receive.messagePrefixSize for receives${what}`,
        'FI_EINVAL',
        22,
        call,
      );
    case STATUS_NOT_SHARED:
      return new FabricError(
        `${call}: an endpoint whose Info says FI_SHARED_CONTEXT, and no other, is bound to such a context; one for ` +
          'receives must have its CompletionQueue, and all connectionless endpoints of it one AddressVector' +
          what,
        'FI_EINVAL',
        22,
        call,
      );
    case STATUS_OTHER_DIRECTION:
      return unsupportedError(
        `${call}: not on this object: a TransmitContext only sends, contexts for receives only receive, and an ` +
          `endpoint that shares one receives there${what}`,
        call,
      );
    case STATUS_UNFINISHED:
      return new FabricError(
        `${call}: operations of the Endpoint are in its SharedTransmitContext${what}, where the provider would go on with ` +
          'them: read their completions first',
        'ERR_FABRIC_BUSY',
        16,
        call,
      );
    case STATUS_UNTOLD:
      return unsupportedError(
        `${call}: not where the transmit context is shared${what}, since the provider does not tell when it has left, ` +
          'before which the Endpoint cannot be closed: use the call with a context',
        call,
      );
    case STATUS_UNREAD:
      return new FabricError(
        `${call}: an Endpoint of this SharedReceiveContext was closed while no receive was posted here that takes any ` +
          `message of this kind${what}, so that one for it may be left, at which the provider would crash: open another`,
        'FI_EOPBADSTATE',
        FI_EOPBADSTATE,
        call,
      );
    case STATUS_DEVICE_MEMORY:
      return new FabricError(
        `${call}: memory of a device must be registered with the endpoint's Domain, and cannot be injected${what}`,
        'FI_EINVAL',
        22,
        call,
      );
    case STATUS_WAITING:
      return new FabricError(
        `${call}: something waits for a Counter to reach its threshold, or then for room in the transmit queue${what}, ` +
          'and the provider cannot cancel it: raise the Counter first, and read what completes',
        'ERR_FABRIC_BUSY',
        16,
        call,
      );
    case STATUS_NOT_CLAIMED:
      return new FabricError(
        `${call}: no message was claimed with this context${what}; claim one with FI_PEEK and FI_CLAIM first`,
        'FI_EINVAL',
        22,
        call,
      );
    case STATUS_NOT_REGISTERED:
      return new FabricError(
        `${call}: the memory is not registered with the endpoint's domain${what}, which its provider asks for ` +
          '(FI_MR_LOCAL): MemoryRegion.register(domain, memory) first, and keep the region open until the completion',
        'FI_ENOMR',
        270,
        call,
      );
    case STATUS_NOT_BOUND:
      return new FabricError(
        `${call}: bind a CompletionQueue for FI_TRANSMIT and FI_RECV, and an AddressVector, before enable()`,
        'FI_ENOCQ',
        263,
        call,
      );
    default: {
      const errno = -status;
      const remedy = remediesOfCalls[`${call} ${String(errno)}`] ?? remedies[errno];
      return new FabricError(
        `${call} failed: ${textOf(errno)} (${errnoName(errno)})${what}${remedy === undefined ? '' : `; ${remedy}`}`,
        errnoName(errno),
        errno,
        call,
      );
    }
  }
}

/** Whether a status says that the provider has no such call, or not for what was given. */
export function isLacking(status: number): boolean {
  return status === STATUS_UNSUPPORTED || status === -FI_ENOSYS || status === -FI_EOPNOTSUPP;
}

/** Returns a result that is not negative; throws the error of a status. */
export function check(result: number, call: string, about = ''): number {
  if (result < 0) throw statusError(result, call, about);
  return result;
}

export function closedError(what: string): FabricError {
  return new FabricError(`${what} is closed`, 'ERR_FABRIC_CLOSED');
}

export function busyError(what: string, dependants: readonly string[]): FabricError {
  const list = dependants.length === 0 ? 'something' : dependants.join(', ');
  return new FabricError(
    `${what} cannot be closed while ${list} depends on it; close that first`,
    'ERR_FABRIC_BUSY',
    16,
  );
}

export function unsupportedError(message: string, call?: string): FabricError {
  return new FabricError(message, 'ERR_FABRIC_UNSUPPORTED', 95, call);
}

export function unavailableError(reason: string, remedy: string): FabricError {
  return new FabricError(`${reason}. ${remedy}`, 'ERR_FABRIC_UNAVAILABLE');
}

/** The same where a call found it out. */
export function unavailableByCall(message: string, errno: number, call: string | undefined): FabricError {
  return new FabricError(message, 'ERR_FABRIC_UNAVAILABLE', errno, call);
}

/** An address, or a contact, that cannot be used. */
export function addressError(message: string, call?: string): FabricError {
  return new FabricError(message, 'ERR_FABRIC_ADDRESS', 0, call);
}

/** Bytes that are no address, given to a call. */
export function checkAddress(call: string, problem: string | undefined): void {
  if (problem !== undefined) throw addressError(`${call}: ${problem}`);
}

/** An endpoint without the queue that a call's end is told by. */
export function noEventQueueError(call: string): FabricError {
  return new FabricError(
    `${call}: bind an EventQueue to the Endpoint before enable(), which tells when it is done`,
    'FI_ENOEQ',
    FI_ENOEQ,
    call,
  );
}

/** A call that cannot be made as it was, or not yet, for which there is an fi_errno. */
export function refusedError(problem: string, errno: number, call: string): FabricError {
  return new FabricError(`${call}: ${problem}`, errnoName(errno), errno, call);
}

/** Something that is in use, and for how long. */
export function inUseError(message: string, call?: string): FabricError {
  return new FabricError(message, 'ERR_FABRIC_BUSY', 0, call);
}

/** A variable of the environment that would end the process inside libfabric. */
export function environmentError(problem: string, remedy: string): FabricError {
  return new FabricError(`${problem}. ${remedy}`, 'ERR_FABRIC_ENVIRONMENT');
}

/** A deadline that passed, in the shape of AbortSignal.timeout()'s reason. */
export function deadlineError(message: string): DOMException {
  return new DOMException(message, 'TimeoutError');
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'string')
    return value.length > 60 ? `a string of ${String(value.length)} characters` : `'${value}'`;
  if (typeof value === 'bigint') return `${String(value)}n`;
  if (typeof value === 'object') {
    const name = (value as { constructor?: { name?: string } }).constructor?.name;
    return name === undefined || name === '' ? 'an object' : `an instance of ${name}`;
  }
  if (typeof value === 'symbol') return 'a symbol';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return typeof value;
}

/** A value of the wrong type: says what was given, what is allowed, and what to do. */
export function typeError(argument: string, given: unknown, allowed: string, advice = ''): TypeError {
  return new TypeError(
    `${argument} must be ${allowed}; got ${describe(given)}${advice === '' ? '' : `. ${advice}`}`,
  );
}

/** A value of the right type that is out of bounds. */
export function rangeError(argument: string, given: unknown, allowed: string, advice = ''): RangeError {
  return new RangeError(
    `${argument} must be ${allowed}; got ${describe(given)}${advice === '' ? '' : `. ${advice}`}`,
  );
}

/** Checks a whole number within bounds. */
export function checkInteger(argument: string, value: unknown, minimum: number, maximum: number): number {
  if (typeof value !== 'number') throw typeError(argument, value, 'a number');
  if (!Number.isInteger(value) || value < minimum || value > maximum)
    throw rangeError(argument, value, `a whole number from ${String(minimum)} to ${String(maximum)}`);
  return value;
}

const UINT64_MAX = (1n << 64n) - 1n;

/** Checks an unsigned 64-bit value given as a number or a bigint. */
export function checkUint64(argument: string, value: unknown, maximum = UINT64_MAX): bigint {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || value < 0 || BigInt(value) > maximum)
      throw rangeError(
        argument,
        value,
        `a whole number from 0 to ${String(maximum)}`,
        'Above 2^53 give a bigint',
      );
    return BigInt(value);
  }
  if (typeof value !== 'bigint') throw typeError(argument, value, 'a number or a bigint');
  if (value < 0n || value > maximum) throw rangeError(argument, value, `from 0n to ${String(maximum)}n`);
  return value;
}

// The views that were checked last: whether a buffer is resizable never changes, and programs use the same views again.
let lastChecked: unknown;
let checkedBefore: unknown;

/** Checks bytes that an operation is to read or write: attached, of fixed length, a Uint8Array. */
export function checkBytes(argument: string, value: unknown): Uint8Array {
  // A view that lost its buffer has no length.
  if ((value === lastChecked || value === checkedBefore) && (value as Uint8Array).length !== 0)
    return value as Uint8Array;
  const bytes = checkNewBytes(argument, value);
  checkedBefore = lastChecked;
  lastChecked = bytes;
  return bytes;
}

function checkNewBytes(argument: string, value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array))
    throw typeError(argument, value, 'a Uint8Array', 'Use new Uint8Array(buffer) or Buffer.from(text)');
  const buffer = value.buffer as ArrayBufferLike & {
    detached?: boolean;
    resizable?: boolean;
    growable?: boolean;
  };
  // A detached buffer shows itself by its lost length where the runtime has no `detached` yet (Node 20).
  if (buffer.detached === true || (buffer.byteLength === 0 && isDetached(buffer)))
    throw new TypeError(`${argument} is a view of a detached ArrayBuffer: it was transferred; use a copy`);
  if (buffer.resizable === true || buffer.growable === true)
    throw new TypeError(`${argument} is a view of a resizable ArrayBuffer, which may move; copy it first`);
  return value;
}

function isDetached(buffer: ArrayBufferLike): boolean {
  if (buffer.byteLength !== 0 || !(buffer instanceof ArrayBuffer)) return false;
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}
