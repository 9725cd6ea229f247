// The one table of providers: names, what they stand for by version, and how each deviates. Behaviour anywhere else
// follows what is said here, never a provider's name.

/** How a provider behaves, as far as the everyday layer must know. */
export interface Provider {
  /** libfabric's exact name (fi_fabric_attr.prov_name). */
  readonly name: string;
  /** What programs call it, where that is not libfabric's name: a provider may have fabrics that differ. */
  readonly asked?: string;
  /** The fabric to ask for, where the provider has several. */
  readonly fabric?: string;
  /**
   * Whether to ask for FI_REMOTE_COMM alone, which keeps a provider from sending to processes of this host another way: EFA
   * would, through shm inside it, which takes over signal handlers, has no wait objects and, in libfabric 1.17, fails where a
   * large message meets a small buffer. The device reaches this host too.
   */
  readonly remoteOnly?: boolean;
  /** Who understands whom on the wire: part of a contact. */
  readonly family: string;
  /** Whether endpoints have IP addresses, so that one must be chosen. */
  readonly ip: boolean;
  /** Wait objects to ask for, in this order; FI_WAIT_NONE is the last resort of all. */
  readonly waitObjects: readonly string[];
  /** How to be woken. 'fd' only where the file descriptor tells the truth. */
  readonly sleepBy: 'fd' | 'sread' | 'backoff';
  /** False where spinning on the queue costs more than it gains. */
  readonly spins: boolean;
  /** Whether endpoints leave a file in /dev/shm. */
  readonly sharedMemoryFiles: boolean;
  /** Capabilities that are advertised and do not work. */
  readonly falseCaps: readonly string[];
  /**
   * Whether the sender that it names can be believed: rxd reports an unknown one as address 0, which is somebody else.
   */
  readonly namesSender: boolean;
  /** Whether messages complete in the order they were matched in, whatever their sizes. */
  readonly completesInOrder: boolean;
  /**
   * Whether fi_av_remove can be called while the endpoint lives: in libfabric 2.1 shm and rxm crash some time after it, and
   * efa takes the address of a process that was restarted with the same queue pair number for that of its predecessor.
   * Where not, the address of a closed peer stays, for whoever asks for the same contact again.
   */
  readonly removesAddresses: boolean;
  /** Whether fi_cancel of a receive from one peer only is safe: in libfabric 2.1 shm, rxm and efa crash. */
  readonly cancelsDirected: boolean;
  /** Whether an injected message is where the peer can read it when the call returns, so that none is lost at close. */
  readonly injectsAtOnce: boolean;
  /**
   * When what has arrived must be read before closing. 'afterSending': TCP resets a connection that is closed with unread
   * data, and the peer's kernel throws away what its process has not read yet. 'always': shm 2.1 crashes where an unread
   * message's sender has closed before.
   */
  readonly readsBeforeClose: 'never' | 'afterSending' | 'always';
  /** Whether FI_DIRECTED_RECV, where it is advertised, holds for messages without a tag too. */
  readonly directsMessages: boolean;
  /** Bytes of immediate data that arrive, where libfabric may claim more (fi_domain_attr.cq_data_size). */
  readonly immediateBytes?: number;
  /**
   * Whether immediate data gets lost on its way in libfabric of this version (0x10011 for 1.17), so that none is offered:
   * efa 1.17 delivers messages that follow each other closely, or come before the handshake is done, without it; sockets
   * every message that comes before a receive is posted for it (1.17, 2.1): 2936 of 3000 that messages() got in one go.
   */
  readonly losesImmediate?: (libraryVersion: number) => boolean;
  /** Whether FI_DELIVERY_COMPLETE and FI_TRANSMIT_COMPLETE work for single operations. */
  readonly delivery: boolean;
  readonly transmit: boolean;
  /** Whether FI_DELIVERY_COMPLETE holds for single writes of remote memory: their bytes are there. */
  readonly deliversWrites: boolean;
  /** What is known of it, for explain() and the README. */
  readonly note: string;
}

const version = (major: number, minor: number): number => (major << 16) | minor;

const ipSockets = {
  ip: true,
  sharedMemoryFiles: false,
  falseCaps: [],
  namesSender: true,
  completesInOrder: true,
  readsBeforeClose: 'never',
  injectsAtOnce: false,
  removesAddresses: true,
  cancelsDirected: true,
  directsMessages: true,
  delivery: true,
  transmit: true,
  deliversWrites: true,
} as const;

const table: readonly Provider[] = [
  {
    name: 'efa',
    fabric: 'efa',
    remoteOnly: true,
    family: 'efa',
    ip: false,
    // Wait objects came with libfabric 2.3 to 2.5; fi_cq_open answers FI_ENOSYS before, and NONE is taken. The file
    // descriptor alone never tells everything (timers of the provider): fi_cq_sread does.
    waitObjects: ['FI_WAIT_UNSPEC'],
    sleepBy: 'sread',
    spins: true,
    sharedMemoryFiles: false,
    falseCaps: [],
    namesSender: true,
    completesInOrder: false,
    readsBeforeClose: 'never',
    injectsAtOnce: false,
    // libfabric 1.17 says 8 and cuts off the upper half.
    immediateBytes: 4,
    losesImmediate: (libraryVersion) => libraryVersion < version(1, 18),
    // Up to 2.6 at least: the later address is lost, and the close of the address vector crashes.
    removesAddresses: false,
    cancelsDirected: false,
    directsMessages: true,
    delivery: true,
    transmit: true,
    deliversWrites: true,
    note: 'AWS Elastic Fabric Adapter (SRD)',
  },
  {
    name: 'efa',
    asked: 'efa-direct',
    fabric: 'efa-direct',
    remoteOnly: true,
    // Its packets have no header of the provider's, so those of efa mean nothing to it.
    family: 'efa-direct',
    ip: false,
    waitObjects: ['FI_WAIT_FD'],
    sleepBy: 'fd',
    spins: true,
    sharedMemoryFiles: false,
    falseCaps: [],
    namesSender: true,
    completesInOrder: false,
    readsBeforeClose: 'never',
    injectsAtOnce: false,
    immediateBytes: 4,
    removesAddresses: false,
    cancelsDirected: false,
    directsMessages: false,
    // The peer's NIC has taken it: more it does not tell.
    delivery: false,
    transmit: true,
    deliversWrites: false,
    note: 'AWS Elastic Fabric Adapter without software between: no order, messages of one packet; libfabric 2.1 and later',
  },
  {
    name: 'verbs;ofi_rxm',
    family: 'verbs;ofi_rxm',
    ip: true,
    waitObjects: ['FI_WAIT_FD'],
    sleepBy: 'fd',
    spins: true,
    sharedMemoryFiles: false,
    falseCaps: [],
    namesSender: true,
    completesInOrder: false,
    readsBeforeClose: 'never',
    injectsAtOnce: false,
    removesAddresses: false,
    cancelsDirected: false,
    directsMessages: true,
    delivery: false,
    transmit: true,
    deliversWrites: true,
    note: 'InfiniBand and RoCE; written from the documentation, untested',
  },
  {
    ...ipSockets,
    name: 'tcp',
    family: 'tcp',
    waitObjects: ['FI_WAIT_FD'],
    sleepBy: 'fd',
    spins: true,
    // Matched for tagged messages only; others go to whichever receive is next.
    directsMessages: false,
    readsBeforeClose: 'afterSending',
    note: 'TCP with native reliable datagrams, libfabric 1.18 and later',
  },
  {
    ...ipSockets,
    name: 'net',
    family: 'tcp', // they understand each other, tried both ways between 1.17 and 2.1
    // The queue's own file descriptor stays readable for ever after its first event: its fi_trywait does nothing. A
    // wait set of the fabric's becomes quiet again.
    waitObjects: ['FI_WAIT_SET'],
    sleepBy: 'fd',
    spins: true,
    // Matched for tagged messages only; others go to whichever receive is next.
    directsMessages: false,
    readsBeforeClose: 'afterSending',
    // Advertised, and every call of it is unimplemented.
    falseCaps: ['FI_ATOMIC'],
    note: 'TCP with native reliable datagrams, libfabric 1.16 and 1.17',
  },
  {
    ...ipSockets,
    name: 'tcp;ofi_rxm',
    family: 'tcp;ofi_rxm',
    waitObjects: ['FI_WAIT_FD'],
    sleepBy: 'fd',
    spins: true,
    completesInOrder: false,
    removesAddresses: false,
    cancelsDirected: false,
    directsMessages: true,
    // Completes at once, whatever level is asked for.
    delivery: false,
    note: 'reliable datagrams over TCP connections, with atomics',
  },
  {
    ...ipSockets,
    name: 'sockets',
    family: 'sockets',
    waitObjects: ['FI_WAIT_FD'],
    sleepBy: 'fd',
    // It has threads of its own; spinning takes the processor from them, for milliseconds.
    spins: false,
    losesImmediate: () => true,
    note: 'the oldest provider over TCP, complete but slow; a last resort',
  },
  {
    name: 'shm',
    family: 'shm',
    ip: false,
    // UNSPEC and YIELD queues exist, but fi_trywait crashes on them and fi_cq_sread may never return.
    waitObjects: [],
    sleepBy: 'backoff',
    spins: true,
    sharedMemoryFiles: true,
    falseCaps: [],
    namesSender: true,
    completesInOrder: false,
    readsBeforeClose: 'always',
    injectsAtOnce: true,
    removesAddresses: false,
    cancelsDirected: false,
    directsMessages: true,
    delivery: true,
    transmit: true,
    deliversWrites: true,
    note: 'shared memory of one host',
  },
  {
    ...ipSockets,
    name: 'udp;ofi_rxd',
    family: 'udp;ofi_rxd',
    // FI_WAIT_FD is granted, then FI_GETWAIT says ENOSYS.
    waitObjects: [],
    sleepBy: 'backoff',
    spins: true,
    // A fetch that is the first word to a peer, and what is of several pieces, end the process.
    falseCaps: ['FI_ATOMIC'],
    namesSender: false,
    completesInOrder: false,
    note: 'reliable datagrams over UDP; experimental in libfabric',
  },
];

/** A provider that the table does not know gets the most careful treatment. */
function unknown(name: string): Provider {
  return {
    name,
    family: name,
    ip: false,
    waitObjects: [],
    sleepBy: 'backoff',
    spins: true,
    sharedMemoryFiles: false,
    falseCaps: [],
    namesSender: false,
    completesInOrder: false,
    readsBeforeClose: 'never',
    injectsAtOnce: false,
    removesAddresses: true,
    cancelsDirected: true,
    directsMessages: false,
    delivery: false,
    transmit: false,
    deliversWrites: false,
    note: 'not known to this package',
  };
}

/** The default order. shm is never chosen by itself: it reaches only processes of the same host. */
export const DEFAULT_PROVIDERS: readonly string[] = ['efa', 'verbs', 'tcp', 'sockets'];

/** libfabric's names for a name that a program may give, best first, by the library's version. */
function namesFor(requested: string, libraryVersion: number): readonly string[] {
  switch (requested) {
    case 'tcp':
      return [libraryVersion >= version(1, 18) ? 'tcp' : 'net', 'tcp;ofi_rxm'];
    case 'verbs':
      return ['verbs;ofi_rxm'];
    case 'udp':
      return ['udp;ofi_rxd'];
    default:
      return [requested];
  }
}

/** The candidates for a name that a program may give. */
export function candidatesFor(requested: string, libraryVersion: number): readonly Provider[] {
  return namesFor(requested, libraryVersion).map(providerNamed);
}

export function providerNamed(name: string): Provider {
  return table.find((entry) => (entry.asked ?? entry.name) === name) ?? unknown(name);
}

/** All that the table knows. */
export function knownProviders(): readonly Provider[] {
  return table;
}

/** Bytes of immediate data that a provider delivers, of those that it promises. */
export function immediateSizeOf(provider: Provider, promised: number, libraryVersion: number): number {
  if (provider.losesImmediate?.(libraryVersion) === true) return 0;
  return Math.min(promised, provider.immediateBytes ?? promised);
}
