// fi_rma(3): reading and writing memory of another process.
import { AtomicVectorEndpoint } from './atomic-vector-endpoint.js';
import { addon } from './library.js';
import type { Memory } from './memory.js';
import { FI_COMPLETION, FI_FENCE, FI_MORE } from './constants.js';
import { aim, answerOf, refusalOf } from './one-sided.js';
import { type Part, putParts, putRemotes } from './parts.js';
import { type MessageOptions, type SendFlags, postFlags, putOptions } from './post.js';
import { registers } from './registers.js';
import type { RemoteMemory } from './remote-memory.js';

// Which call, as native/rma_vector.cc numbers them.
const WRITES = 1;
const HAS_FLAGS = 2;

const READ_FLAGS = FI_COMPLETION | FI_MORE | FI_FENCE;

/**
 * The one-sided calls of an Endpoint (fi_rma(3)), for those opened with FI_RMA. As all data calls they never block: false
 * where the provider has no room now. The other side takes no part; its memory must be registered with the access
 * 'remoteRead' or 'remoteWrite', and on most providers its program must read its queue for anything to happen.
 */
export abstract class RmaEndpoint extends AtomicVectorEndpoint {
  // The addon's exports are too many for V8 to look one up quickly.
  readonly #read = addon().read;
  readonly #write = addon().write;
  readonly #injectWrite = addon().injectWrite;
  readonly #rmaVector = addon().rmaVector;

  /**
   * `fi_read(3)`: reads `length` bytes from where `remote` starts into a part of `memory`, which holds them when the
   * operation completes.
   *
   * @throws RangeError where `remote` has fewer bytes.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider cannot, or the endpoint was opened without FI_RMA.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_rma.3.html
   */
  read(
    memory: Memory,
    offset: number,
    length: number,
    peer: number,
    remote: RemoteMemory,
    context: number,
  ): boolean {
    aim(remote, length);
    const { call } = registers();
    call[0] = this.handle;
    call[1] = context;
    call[2] = memory.handle;
    call[3] = offset;
    call[4] = length;
    call[5] = peer;
    this.#read();
    return answerOf(call[0] | 0, 'fi_read', memory, 'FI_RMA');
  }

  /**
   * `fi_write(3)`, `fi_writedata(3)` or `fi_writemsg(3)`: writes a part of `memory` to where `remote` starts. With
   * `immediate` the other side gets a completion with that number, which belongs to no operation of its own.
   *
   * @throws RangeError where `remote` has fewer bytes.
   * @throws FabricError ERR_FABRIC_UNSUPPORTED where the provider cannot, or the endpoint was opened without FI_RMA.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_rma.3.html
   */
  write(
    memory: Memory,
    offset: number,
    length: number,
    peer: number,
    remote: RemoteMemory,
    context: number,
    options?: SendFlags,
  ): boolean {
    aim(remote, length);
    const { call } = registers();
    call[0] = this.handle;
    call[1] = context;
    call[2] = memory.handle;
    call[3] = offset;
    call[4] = length;
    call[5] = peer;
    call[6] = postFlags(options);
    this.#write();
    return answerOf(call[0] | 0, 'fi_write', memory, 'FI_RMA');
  }

  /**
   * `fi_inject_write(3)` or `fi_inject_writedata(3)`: writes up to info.injectSize bytes, reusable at once, without a
   * completion on this side.
   *
   * @throws RangeError where `remote` has fewer bytes.
   * @throws FabricError FI_EMSGSIZE above info.injectSize; ERR_FABRIC_UNSUPPORTED as for write().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_rma.3.html
   */
  injectWrite(
    memory: Memory,
    offset: number,
    length: number,
    peer: number,
    remote: RemoteMemory,
    options?: SendFlags,
  ): boolean {
    aim(remote, length);
    const { call } = registers();
    call[0] = this.handle;
    call[1] = memory.handle;
    call[2] = offset;
    call[3] = length;
    call[4] = peer;
    call[5] = postFlags(options);
    this.#injectWrite();
    return answerOf(call[0] | 0, 'fi_inject_write', memory, 'FI_RMA');
  }

  #post(
    call: number,
    name: string,
    parts: readonly Part[],
    peer: number,
    remotes: readonly RemoteMemory[],
    context: number,
  ): boolean {
    const { transmit } = this.info;
    const length = putParts('parts', parts, { least: 1, most: transmit.iovLimit });
    const count = putRemotes(remotes, length, (call & HAS_FLAGS) === 0 ? 1 : transmit.rmaIovLimit);
    const registersCall = registers().call;
    registersCall[0] = this.handle;
    registersCall[1] = context;
    registersCall[2] = call;
    registersCall[3] = parts.length;
    registersCall[4] = count;
    registersCall[5] = peer;
    this.#rmaVector();
    return refusalOf(registersCall[0] | 0, name, 'FI_RMA');
  }

  /**
   * `fi_readv(3)`: reads from where `remote` starts, and fills the parts in their order.
   *
   * @throws RangeError for more parts than info.transmit.iovLimit, or where `remote` has fewer bytes than they.
   * @throws FabricError as read().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_rma.3.html
   */
  readVector(parts: readonly Part[], peer: number, remote: RemoteMemory, context: number): boolean {
    return this.#post(0, 'fi_readv', parts, peer, [remote], context);
  }

  /**
   * `fi_writev(3)`: writes the parts, one behind the other, to where `remote` starts.
   *
   * @throws as readVector().
   * @see https://ofiwg.github.io/libfabric/main/man/fi_rma.3.html
   */
  writeVector(parts: readonly Part[], peer: number, remote: RemoteMemory, context: number): boolean {
    return this.#post(WRITES, 'fi_writev', parts, peer, [remote], context);
  }

  /**
   * `fi_readmsg(3)`: as readVector(), from several pieces of the other side's memory, with flags.
   *
   * @param remotes - As many bytes of them as the parts have are read, in their order; at most info.transmit.rmaIovLimit.
   * @param options - FI_COMPLETION, FI_MORE, FI_FENCE; a read has no remote CQ data.
   * @throws RangeError as readVector(), and for flags that are none of this call.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_rma.3.html
   */
  readMessage(
    parts: readonly Part[],
    peer: number,
    remotes: readonly RemoteMemory[],
    context: number,
    options?: Pick<MessageOptions, 'flags' | 'trigger'>,
  ): boolean {
    putOptions(this, { flags: options?.flags, trigger: options?.trigger }, READ_FLAGS);
    return this.#post(HAS_FLAGS, 'fi_readmsg', parts, peer, remotes, context);
  }

  /**
   * `fi_writemsg(3)`: as writeVector(), to several pieces of the other side's memory, with flags and remote CQ data.
   *
   * @param remotes - As many bytes of them as the parts have are written, in their order; at most info.transmit.rmaIovLimit.
   * @throws RangeError as readVector(), and for flags that are none of this call.
   * @throws FabricError FI_EMSGSIZE for more than info.injectSize bytes with FI_INJECT.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_rma.3.html
   */
  writeMessage(
    parts: readonly Part[],
    peer: number,
    remotes: readonly RemoteMemory[],
    context: number,
    options?: MessageOptions,
  ): boolean {
    putOptions(this, options);
    return this.#post(HAS_FLAGS | WRITES, 'fi_writemsg', parts, peer, remotes, context);
  }
}
