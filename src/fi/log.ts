// fi_import_log(3): what libfabric and its providers log, in JavaScript.
import { FI_EALREADY } from './errno.js';
import { check, inUseError, isLacking, typeError, unsupportedError } from './errors.js';
import { addon } from './library.js';
import { enumName, enumValue } from './names.js';

/** enum fi_log_level: each includes those before it. */
export type LogLevel = 'FI_LOG_WARN' | 'FI_LOG_TRACE' | 'FI_LOG_INFO' | 'FI_LOG_DEBUG';

/** One line of the log (struct fi_ops_log: log). */
export interface LogLine {
  /** The provider that says it; 'core' for libfabric itself. */
  readonly provider: string;
  /** A C name of enum fi_log_level. */
  readonly level: string;
  /** What it is about: a C name of enum fi_log_subsys, such as 'FI_LOG_EP_CTRL'. */
  readonly subsystem: string;
  /** The function in C. */
  readonly function: string;
  /** The line of the source in C. */
  readonly line: number;
  /** What is said, without the end of the line. */
  readonly message: string;
}

/** Options of LogImport.open(). */
export interface LogImportOptions {
  /** The least important lines that are wanted; default 'FI_LOG_WARN'. Debug lines are there in debug builds of libfabric alone. */
  level?: LogLevel | undefined;
}

/**
 * An import of libfabric's log (fi_import_log(3)): until close() its lines go to the program instead of stderr, whatever
 * FI_LOG_LEVEL and FI_LOG_SUBSYS say; providers that FI_LOG_PROV leaves out stay silent. There is one in a process.
 */
export class LogImport implements Disposable {
  readonly #listener: (line: LogLine) => void;
  #open = true;
  #dropped = 0;

  private constructor(listener: (line: LogLine) => void) {
    this.#listener = listener;
  }

  /**
   * `fi_import_log(3)`, which is `fi_open(3)` of "logging", `fi_import(3)` and `fi_import_fid(3)`: takes the log.
   *
   * @param listener - Gets the lines, in their order, soon after they were logged; on this thread, whichever logged them. What it
   *   throws is an uncaught exception. It does not keep the process alive.
   * @throws FabricError ERR_FABRIC_BUSY while there is another import in the process, of a worker too;
   *   ERR_FABRIC_UNSUPPORTED where libfabric has no imports.
   * @see https://ofiwg.github.io/libfabric/main/man/fi_provider.7.html
   */
  static open(listener: (line: LogLine) => void, options: LogImportOptions = {}): LogImport {
    if (typeof listener !== 'function') throw typeError('listener', listener, 'a function');
    const { level = 'FI_LOG_WARN' } = options;
    if (typeof level !== 'string')
      throw typeError('options.level', level, "a C name of enum fi_log_level, such as 'FI_LOG_INFO'");
    const opening = new LogImport(listener);
    const status = addon().importLog(enumValue('logLevel', level, 'options.level'), () => {
      opening.#deliver();
    });
    if (status === -FI_EALREADY)
      throw inUseError(
        "libfabric's log is imported already, here or in a worker; close() that LogImport first",
        'fi_import_log',
      );
    if (isLacking(status)) throw unsupportedError('this libfabric gives its log to nobody', 'fi_import_log');
    check(status, 'fi_import_log');
    return opening;
  }

  /** How many lines were dropped because the listener was too slow: up to 4096 wait for the event loop. */
  get dropped(): number {
    return this.#dropped;
  }

  #deliver(): void {
    // Asked for before close().
    if (!this.#open) return;
    const { lines, dropped } = addon().takeLog();
    this.#dropped += dropped;
    for (const raw of lines) {
      // The listener may close it.
      if (!this.#open) return;
      this.#tell({
        ...raw,
        level: enumName('logLevel', raw.level),
        subsystem: enumName('logSubsystem', raw.subsystem),
        message: raw.message.trimEnd(),
      });
    }
  }

  /** One line whose listener throws must not keep the others from theirs. */
  #tell(line: LogLine): void {
    try {
      this.#listener(Object.freeze(line));
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }

  /** Gives the log back: libfabric writes to stderr again. Lines that have not been delivered are lost. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    addon().stopLog();
  }

  /** close(), for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}
