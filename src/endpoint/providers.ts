// The one table of providers: names, what they stand for by version, and how each deviates. Behaviour anywhere else
// follows what is said here, never a provider's name.

/** How a provider behaves, as far as the everyday layer must know. */
export interface Provider {
  /** libfabric's exact name (fi_fabric_attr.prov_name). */
  readonly name: string;
  /** The fabric to ask for, where the provider has several. */
  readonly fabric?: string;
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
   * Whether fi_av_remove can be called while the endpoint lives: in libfabric 2.1 shm and rxm crash some time after it.
   * Where not, the address of a closed peer stays, for whoever asks for the same contact again.
   */
  readonly removesAddresses: boolean;
  /** Whether fi_cancel of a receive from one peer only is safe: in libfabric 2.1 shm and rxm crash. */
  readonly cancelsDirected: boolean;
  /** Whether an injected message is where the peer can read it when the call returns, so that none is lost at close. */
  readonly injectsAtOnce: boolean;
  /**
   * When what has arrived must be read before closing. 'afterSending': TCP resets a connection that is closed with unread
   * data, and the peer's kernel throws away what its process has not read yet. 'always': shm 2.1 crashes where an unread
   * message's sender has closed before.
   */
  readonly readsBeforeClose: 'never' | 'afterSending' | 'always';
  /** Whether FI_DELIVERY_COMPLETE and FI_TRANSMIT_COMPLETE work for single operations. */
  readonly delivery: boolean;
  readonly transmit: boolean;
  /** What is known of it, for explain() and the README. */
  readonly note: string;
}

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
  delivery: true,
  transmit: true,
} as const;

const table: readonly Provider[] = [
  {
    name: 'efa',
    fabric: 'efa',
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
    removesAddresses: true,
    cancelsDirected: true,
    delivery: true,
    transmit: true,
    note: 'AWS Elastic Fabric Adapter (SRD)',
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
    delivery: false,
    transmit: true,
    note: 'InfiniBand and RoCE; written from the documentation, untested',
  },
  {
    ...ipSockets,
    name: 'tcp',
    family: 'tcp',
    waitObjects: ['FI_WAIT_FD'],
    sleepBy: 'fd',
    spins: true,
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
    delivery: true,
    transmit: true,
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
    delivery: false,
    transmit: false,
    note: 'not known to this package',
  };
}

/** The default order. shm is never chosen by itself: it reaches only processes of the same host. */
export const DEFAULT_PROVIDERS: readonly string[] = ['efa', 'verbs', 'tcp', 'sockets'];

const version = (major: number, minor: number): number => (major << 16) | minor;

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
  return table.find((entry) => entry.name === name) ?? unknown(name);
}

/** All that the table knows. */
export function knownProviders(): readonly Provider[] {
  return table;
}
