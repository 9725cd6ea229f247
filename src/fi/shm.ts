// Files that shm endpoints have in /dev/shm: names of ours, each with a lock file beside it, so that what a killed process
// left can be told from what is in use. native/shm_janitor.h does the work.
import { threadId } from 'node:worker_threads';
import { check, statusError } from './errors.js';
import type { Endpoint } from './endpoint.js';
import { addon } from './library.js';

let count = 0;

/** A name for an shm endpoint that is to be opened: give it as the node, with FI_SOURCE, to getInfo(). */
export class SharedMemoryName {
  /** The name: of the endpoint, and of its file. */
  readonly name: string;
  #lock: number;

  private constructor(name: string, lock: number) {
    this.name = name;
    this.#lock = lock;
  }

  /**
   * Removes what dead processes left in /dev/shm, and locks a new name.
   *
   * @throws FabricError with the errno where /dev/shm cannot be written.
   */
  static claim(): SharedMemoryName {
    for (let attempt = 0; ; attempt++) {
      const name = `libfabric-${String(process.pid)}-${String(threadId)}-${String(++count)}`;
      const lock = addon().shmPrepare(name);
      if (lock >= 0) return new SharedMemoryName(name, lock);
      // -EEXIST and -EAGAIN: a process of another pid namespace has the name, or somebody cleaned up just now.
      if ((lock !== -17 && lock !== -11) || attempt === 100)
        throw statusError(lock, 'open', `/dev/shm/${name}.lock`);
    }
  }

  /**
   * The endpoint owns the name from now on. Call it before `enable()`, which then makes sure that /dev/shm has room for
   * the file, and that every page of it exists (posix_fallocate(3)): the provider alone would die of a full /dev/shm by
   * SIGBUS.
   *
   * @throws FabricError FI_ENOSPC where /dev/shm is full.
   */
  giveTo(endpoint: Endpoint): void {
    const lock = this.#lock;
    this.#lock = -1;
    check(addon().shmClaim(endpoint.handle, this.name, lock), 'posix_fallocate', `/dev/shm/${this.name}`);
  }

  /** Gives the name up, where no endpoint came of it. */
  release(): void {
    if (this.#lock < 0) return;
    addon().shmAbandon(this.name, this.#lock);
    this.#lock = -1;
  }
}
