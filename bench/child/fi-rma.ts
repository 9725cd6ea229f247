// Reads and writes of the other process's memory over libfabric/fi: the loops of bench/native/rma.c, call by call.
import { performance } from 'node:perf_hooks';
import { Memory, MemoryRegion, RemoteMemory, type RemoteMemoryJson } from 'libfabric/fi';
import { type Opened, READ_BATCH, SPIN_MICROSECONDS, contextOf, openLoop, slotBytes } from './fi-open.js';
import { type Result, type Settings, barrier, exchange, runChild, startMeter, summary } from './link.js';
import { checkPattern, holdsPattern, pattern } from './pattern.js';

/** Operations on slots of the other side's memory, at most `window` in flight. */
class Initiator {
  readonly #free: Uint32Array;
  readonly #remotes: RemoteMemory[];
  readonly #writes: boolean;
  #count: number;

  constructor(
    private readonly opened: Opened,
    private readonly size: number,
    private readonly window: number,
    remote: RemoteMemory,
    writes: boolean,
  ) {
    const slots = Array.from({ length: window }, (_, slot) => slot);
    this.#free = Uint32Array.from(slots);
    this.#count = window;
    this.#remotes = slots.map((slot) => remote.slice(slot * opened.stride, size));
    this.#writes = writes;
    for (const slot of slots) if (writes) slotBytes(opened, slot, size).set(pattern(size, slot));
  }

  #progress(spinMicroseconds: number): void {
    const { queue } = this.opened;
    const count = queue.read(READ_BATCH, spinMicroseconds);
    for (let index = 0; index < count; index++) this.#free[this.#count++] = contextOf(queue, index);
  }

  #post(slot: number): boolean {
    const { endpoint, memory, stride, peer } = this.opened;
    const remote = this.#remotes[slot];
    return this.#writes
      ? endpoint.write(memory, slot * stride, this.size, peer, remote, slot)
      : endpoint.read(memory, slot * stride, this.size, peer, remote, slot);
  }

  #finish(): void {
    while (this.#count < this.window) this.#progress(SPIN_MICROSECONDS);
  }

  /** With `times`, one after the other. */
  operate(count: number, times: Float64Array | undefined): void {
    let previous = performance.now();
    for (let done = 0; done < count; done++) {
      while (this.#count === 0) this.#progress(SPIN_MICROSECONDS);
      const slot = this.#free[--this.#count];
      while (!this.#post(slot)) this.#progress(0);
      if (times === undefined) continue;
      this.#finish();
      const now = performance.now();
      times[done] = now - previous;
      previous = now;
    }
    this.#finish();
  }

  sayDone(): void {
    const { endpoint, memory, stride, peer } = this.opened;
    const slot = this.#free[--this.#count];
    while (!endpoint.send(memory, slot * stride, 1, peer, slot)) this.#progress(0);
    this.#finish();
  }

  /** What was read; how many were checked. */
  check(): number {
    for (let slot = 0; slot < this.window; slot++)
      if (!this.#writes) checkPattern(slotBytes(this.opened, slot, this.size), this.size, slot);
    return this.window;
  }
}

/** Makes progress until the initiator's next message. */
function awaitDone({ queue }: Opened): void {
  while (queue.read(1, SPIN_MICROSECONDS) === 0);
  contextOf(queue, 0);
}

/** What was written, which may arrive behind the message. The runner's bound is the bound. */
function checkWritten(opened: Opened, target: Memory, { size, window = 1 }: Settings): void {
  for (let slot = 0; slot < window; slot++) {
    const bytes = target.bytes.subarray(slot * opened.stride, slot * opened.stride + size);
    while (!holdsPattern(bytes, slot)) opened.queue.read(1);
  }
}

async function serve(opened: Opened, settings: Settings): Promise<Result> {
  const { size, window = 1, workload = 'write' } = settings;
  const target = Memory.allocate(window * opened.stride);
  const isRead = workload.startsWith('read');
  for (let slot = 0; slot < window; slot++)
    if (isRead) target.bytes.set(pattern(size, slot), slot * opened.stride);
  const region = await MemoryRegion.register(opened.domain, target, {
    access: ['remoteRead', 'remoteWrite'],
  });
  // Two messages: the warm-up is done; all is done.
  for (const context of [0, 1]) opened.endpoint.recv(opened.memory, context * opened.stride, size, context);
  await exchange(JSON.stringify(region.remote));
  await barrier();
  awaitDone(opened);
  const stop = startMeter(settings);
  awaitDone(opened);
  const used = stop();
  if (!isRead) checkWritten(opened, target, settings);
  await barrier();
  await region.close();
  return { ...used, verified: window };
}

async function operate(opened: Opened, settings: Settings): Promise<Result> {
  const { size, iterations, warmUp, window = 1, workload = 'write' } = settings;
  const writes = workload.startsWith('write');
  const remote = RemoteMemory.from(JSON.parse(await exchange('')) as RemoteMemoryJson);
  const initiator = new Initiator(opened, size, window, remote, writes);
  const times = window === 1 ? new Float64Array(Math.max(iterations, warmUp)) : undefined;
  await barrier();
  initiator.operate(warmUp, times);
  initiator.sayDone();
  const stop = startMeter(settings);
  const start = performance.now();
  initiator.operate(iterations, times);
  const elapsedMs = performance.now() - start;
  const used = stop();
  initiator.sayDone();
  const verified = initiator.check();
  await barrier();
  const each = times === undefined ? {} : summary(settings, times.subarray(0, iterations), 1);
  const note = writes ? 'fi_write' : 'fi_read';
  return { ...used, ...each, rate: (iterations * 1000) / elapsedMs, verified, note };
}

await runChild(async (settings) => {
  const opened = await openLoop(settings, Math.max(2, settings.window ?? 1), true);
  const result = await (settings.role === 'server' ? serve : operate)(opened, settings);
  return { result, close: opened.close };
});
