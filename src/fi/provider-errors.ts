// What providers' own error numbers (fi_cq_err_entry.prov_errno) mean to a program, and what it can do: the one table.
// Numbers tell more than the fi_errno beside them, which older libfabrics give less finely.

/** What a provider's own error number says (fi_cq_readerr(3)). */
export interface ProviderErrorMeaning {
  /** The provider's own error number. */
  readonly number: number;
  /** Its name, as the provider's sources have it, without the prefix. */
  readonly name: string;
  /** What happened. */
  readonly cause: string;
  /** What to do about it. */
  readonly remedy: string;
}

type Row = readonly [number: number, name: string, cause: string, remedy: string];

const PEER_GONE =
  "ask for the peer's contact again: a process that was restarted has a new one; then peer.close() and peer() with it";
const REPORT = 'update libfabric; if it happens again, report it with the log of FI_LOG_LEVEL=warn';
const SAME_LIBRARY = 'use the same libfabric on both sides';
const LESS_IN_FLIGHT = 'have fewer operations in flight; on a small machine give the process more memory';

/**
 * EFA: the device's completion statuses, below 4096, and the provider's own numbers from there on. They are the same in
 * libfabric 1.17 to 2.6.
 */
const efa: readonly Row[] = [
  [
    1,
    'FLUSHED',
    'the endpoint was closed, or broke, before the operation was done',
    'expected at close; else open a new endpoint',
  ],
  [
    2,
    'LOCAL_ERROR_QP_INTERNAL_ERROR',
    "the endpoint's queue pair broke",
    'open a new endpoint, and report it to AWS if it happens again',
  ],
  [
    3,
    'LOCAL_ERROR_UNSUPPORTED_OP',
    'this EFA device has no such operation',
    'RDMA writes need a newer generation of EFA: leave FI_EFA_USE_DEVICE_RDMA unset, so that libfabric emulates them',
  ],
  [
    4,
    'LOCAL_ERROR_INVALID_AH',
    "the peer's address was removed while something was on its way",
    'let what is under way to a peer settle before you remove its address',
  ],
  [
    5,
    'LOCAL_ERROR_INVALID_LKEY',
    'the buffer is not registered, is longer than its registration, or was unregistered meanwhile',
    'pass the descriptor of a MemoryRegion that covers the buffer and allows the operation, and close it only after the completion',
  ],
  [
    6,
    'LOCAL_ERROR_BAD_LENGTH',
    'the message is longer than the device can send',
    'stay within maxMessageSize; where it is the size of one packet (efa-direct, datagrams), the fabric efa sends longer ones',
  ],
  [
    7,
    'REMOTE_ERROR_BAD_ADDRESS',
    "the peer's memory is not registered there, not with this key, or not for this operation",
    'compare address and key with what the peer published; its region needs remoteRead or remoteWrite and must be open',
  ],
  [8, 'REMOTE_ERROR_ABORT', 'the peer reset its side', PEER_GONE],
  [
    9,
    'REMOTE_ERROR_BAD_DEST_QPN',
    "the peer's endpoint is gone: its process has ended or was restarted",
    PEER_GONE,
  ],
  [
    10,
    'REMOTE_ERROR_RNR',
    'the peer had no receive buffer for long',
    'the peer has to read its completion queue and post receives: is its process busy, stopped, or short of buffers?',
  ],
  [
    11,
    'REMOTE_ERROR_BAD_LENGTH',
    "the message is longer than the peer's receive buffer",
    'agree on a size with the peer, or let it post longer receives',
  ],
  [
    12,
    'REMOTE_ERROR_BAD_STATUS',
    "the peer's device answered something unexpected",
    'try again; report it to AWS if it happens again',
  ],
  [
    13,
    'LOCAL_ERROR_UNRESP_REMOTE',
    'the peer was reachable and stopped answering: its machine has stopped, or the network is cut',
    'treat the peer as dead; when it is back, ask for its contact again',
  ],
  [
    14,
    'REMOTE_ERROR_UNKNOWN_PEER',
    "the peer does not know this endpoint's address, which it has to before its memory is read or written",
    'let the peer insert this address first: endpoint.peer(contact), or AddressVector.insert()',
  ],
  [
    15,
    'LOCAL_ERROR_UNREACH_REMOTE',
    'the peer never answered: the network lets nothing through, or the address is that of a dead process',
    "both instances' security group must allow all traffic to and from itself, in both directions; both must be in one availability zone and VPC; or the contact is old",
  ],
  [
    18,
    'REMOTE_ERROR_FEATURE_MISMATCH',
    'the peer lacks, or has turned off, what this side has turned on',
    'set FI_EFA_USE_UNSOLICITED_WRITE_RECV to the same on both sides; use the same libfabric and the same type of instance',
  ],
  [4096, 'OTHER', 'the provider gives no reason', REPORT],
  [4097, 'DEPRECATED_PKT_TYPE', 'the peer speaks a protocol that this libfabric has given up', SAME_LIBRARY],
  [4098, 'INVALID_PKT_TYPE', 'the peer sent a packet that has no place here', SAME_LIBRARY],
  [
    4099,
    'UNKNOWN_PKT_TYPE',
    'the peer speaks a protocol that this libfabric does not know yet',
    SAME_LIBRARY,
  ],
  [4100, 'PKT_POST', 'the device took no packet', REPORT],
  [4101, 'PKT_SEND', 'a packet could not be sent', REPORT],
  [4102, 'PKT_PROC_MSGRTM', 'an arriving message could not be taken in', LESS_IN_FLIGHT],
  [4103, 'PKT_PROC_TAGRTM', 'an arriving tagged message could not be taken in', LESS_IN_FLIGHT],
  [4104, 'PKT_ALREADY_PROCESSED', 'a packet came twice', REPORT],
  [4105, 'OOM', 'the provider has no memory', LESS_IN_FLIGHT],
  [4106, 'MR_DEREG', 'memory could not be unregistered', REPORT],
  [4107, 'RXE_COPY', 'what arrived could not be copied into the buffer', REPORT],
  [4108, 'RXE_POOL_EXHAUSTED', 'the provider has no room for another receive', LESS_IN_FLIGHT],
  [4109, 'TXE_POOL_EXHAUSTED', 'the provider has no room for another send', LESS_IN_FLIGHT],
  [
    4110,
    'AV_INSERT',
    'an unknown sender could not be given an address',
    'insert addresses before peers send: endpoint.peer(contact), or AddressVector.insert()',
  ],
  [
    4111,
    'RMA_ADDR',
    'the peer asked for memory that is not registered here, not with this key, or not for this operation',
    'compare address and key with what was published; the region needs remoteRead or remoteWrite and must be open',
  ],
  [
    4112,
    'INTERNAL_RX_BUF_POST',
    'the provider could not post receive buffers of its own',
    'locked memory may be limited (ulimit -l), or huge pages short (FI_EFA_USE_HUGE_PAGE=0)',
  ],
  [4113, 'PEER_HANDSHAKE', 'the first packet to the peer could not be sent', REPORT],
  [4114, 'WR_POST_SEND', 'the device took no work request', REPORT],
  [4115, 'RTM_MISMATCH', 'the parts of a message do not fit together', SAME_LIBRARY],
  [4116, 'READ_POST', 'a read could not be started', REPORT],
  [
    4117,
    'RDMA_READ_POST',
    'the device took no RDMA read',
    'FI_EFA_USE_DEVICE_RDMA=0 makes libfabric do without',
  ],
  [4118, 'INVALID_DATATYPE', 'an atomic operation came with an unknown datatype', SAME_LIBRARY],
  [
    4119,
    'WRITE_SEND_COMP',
    "a send's completion found no room in the completion queue",
    'open the CompletionQueue with more capacity, and read it',
  ],
  [
    4120,
    'WRITE_RECV_COMP',
    "a receive's completion found no room in the completion queue",
    'open the CompletionQueue with more capacity, and read it',
  ],
  [
    4121,
    'DGRAM_CQ_READ',
    "the device's completion queue could not be read",
    'open a new endpoint; report it if it happens again',
  ],
  [
    4122,
    'SHM_INTERNAL_ERROR',
    'shared memory inside EFA failed',
    'FI_EFA_ENABLE_SHM_TRANSFER=0 does without it',
  ],
  [
    4123,
    'WRITE_SHM_CQ_ENTRY',
    'a completion of shared memory inside EFA found no room',
    'FI_EFA_ENABLE_SHM_TRANSFER=0 does without it',
  ],
  [
    4124,
    'ESTABLISHED_RECV_UNRESP',
    'the peer was spoken with and stopped answering: its machine has stopped, its process has ended, or the network is cut',
    PEER_GONE,
  ],
  [
    4125,
    'INVALID_PKT_TYPE_ZCPY_RX',
    'the peer sends in a way that receives without a copy cannot take',
    'FI_EFA_USE_ZCPY_RX=0, or the same libfabric on both sides',
  ],
  [
    4126,
    'UNESTABLISHED_RECV_UNRESP',
    "the peer's device is reachable, its program never answered: it has ended, or does not read its completion queue",
    PEER_GONE,
  ],
  [
    4127,
    'PEER_ABORTED',
    'the peer closed its memory or its endpoint in the middle of the transfer',
    'expected where the peer gives up; else let it keep them open until the transfer is done',
  ],
];

const tables: ReadonlyMap<string, ReadonlyMap<number, ProviderErrorMeaning>> = new Map([
  [
    'efa',
    new Map(
      efa.map(([number, name, cause, remedy]) => [number, Object.freeze({ number, name, cause, remedy })]),
    ),
  ],
]);

/**
 * `fi_cq_readerr(3)`: what a provider's own error number means and what to do about it, where that is known: for `efa`.
 *
 * @param provider - libfabric's exact name, such as 'efa' (Info.provider).
 * @param providerErrno - `fi_cq_err_entry.prov_errno`, as Completions.providerError() gives it.
 * @returns undefined where nothing is known about it.
 */
export function explainProviderError(
  provider: string,
  providerErrno: number,
): ProviderErrorMeaning | undefined {
  return tables.get(provider)?.get(Math.abs(providerErrno));
}
