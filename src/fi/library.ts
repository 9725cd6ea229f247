// Whether libfabric is there, and the addon for those who need it.
import { type Addon, type LoadResult, loadAddon } from '../native.js';
import { unavailableError } from './errors.js';

/** Where libfabric was found, or why it was not and what to do. */
export type Availability =
  | {
      /** libfabric is there. */
      available: true;
      /** 'major.minor' of libfabric. */
      version: string;
      /** Its file. */
      path: string;
    }
  | {
      /** It cannot be used. */
      available: false;
      /** What is missing, and where it was looked for. */
      reason: string;
      /** What to install or to do. */
      remedy: string;
    };

const installRemedy =
  'Install libfabric: `apt-get install libfabric1` (Debian, Ubuntu), `dnf install libfabric` (Fedora, Amazon Linux), ' +
  'or the EFA installer on EC2; or name its file in LIBFABRIC_PATH';
const buildRemedy =
  'Install its headers and a compiler, then build: `apt-get install libfabric-dev g++ make python3` (Debian, Ubuntu) or ' +
  '`dnf install libfabric-devel gcc-c++ make python3` (Fedora, Amazon Linux), then `npm rebuild libfabric`';

function versionText(version: number): string {
  return `${String(version >>> 16)}.${String(version & 0xffff)}`;
}

/**
 * Whether libfabric can be used: loads it at the first call (dlopen of libfabric.so.1, fi_version(3)). Never throws.
 *
 * Tried in order: the file named by LIBFABRIC_PATH and nothing else; where an EFA device exists, AWS's own copy below
 * /opt/amazon/efa; the system's libfabric.so.1; AWS's copy.
 */
export function isAvailable(): Availability {
  const loaded = loadAddon();
  if (loaded.addon === undefined) return { available: false, reason: loaded.problem, remedy: buildRemedy };
  const { load } = loaded;
  if (!load.available)
    return { available: false, reason: `libfabric was not found: ${load.reason}`, remedy: installRemedy };
  return { available: true, version: versionText(load.version), path: load.path };
}

let warned = false;

/** A second libfabric in the process has its own state: providers and registrations do not know of each other. */
function warnOfCopies(load: LoadResult): void {
  if (warned || load.otherCopies.length === 0) return;
  warned = true;
  process.emitWarning(
    `two copies of libfabric are loaded: this package uses ${load.path}, the process also has ` +
      `${load.otherCopies.join(', ')}; set LIBFABRIC_PATH so that both are the same`,
    { type: 'FabricWarning', code: 'FABRIC_TWO_COPIES' },
  );
}

/** The addon with libfabric loaded; throws ERR_FABRIC_UNAVAILABLE with isAvailable()'s words where either is missing. */
export function addon(): Addon {
  const loaded = loadAddon();
  if (loaded.addon !== undefined && loaded.load.available) {
    warnOfCopies(loaded.load);
    return loaded.addon;
  }
  const found = isAvailable();
  throw found.available ? unavailableError('libfabric', '') : unavailableError(found.reason, found.remedy);
}

/** The libfabric in use. Versions are numbers as FI_VERSION() makes them: `major << 16 | minor`. */
export interface LibraryVersion {
  /** Of the library (fi_version(3)). */
  version: number;
  /** Which the library is asked for: the lower of its own and the newest that this package declares. */
  apiVersion: number;
  /** The library's file. */
  path: string;
  /** Files of other copies of libfabric in this process. */
  otherCopies: readonly string[];
  /**
   * Whether fork(), and so every child process, needs rdma-core's help where memory is registered with it: on kernels
   * before 5.13. Then FI_EFA_FORK_SAFE=1 was set, unless the program had set it.
   */
  forkNeedsSupport: boolean;
}

/** The version of the loaded libfabric, and the API version that is asked for. */
export function libraryVersion(): LibraryVersion {
  addon();
  const loaded = loadAddon();
  if (loaded.addon === undefined) throw unavailableError(loaded.problem, buildRemedy);
  return loaded.load;
}
