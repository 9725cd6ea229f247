// The same measures over any Channel: messages back and forth, or a stream of them.
import { performance } from 'node:perf_hooks';
import type { Channel } from './channels.js';
import { type Result, type Settings, startMeter, summary } from './link.js';
import { PROOFS, checkPattern, pattern } from './pattern.js';

class Line {
  #onBytes: (bytes: Uint8Array) => void = () => undefined;
  readonly #data: Uint8Array;

  constructor(
    private readonly channel: Channel,
    private readonly size: number,
  ) {
    this.#data = new Uint8Array(size).fill(0x78);
    channel.onBytes((bytes) => {
      this.#onBytes(bytes);
    });
  }

  async sendPatterns(first: number): Promise<void> {
    for (let number = 0; number < PROOFS; number++)
      await this.channel.send(pattern(this.size, first + number));
  }

  /** Messages whose bytes are checked, whatever pieces they arrive in. */
  takePatterns(first: number): Promise<void> {
    const all = new Uint8Array(PROOFS * this.size);
    let length = 0;
    return new Promise((resolve, reject) => {
      this.#onBytes = (bytes) => {
        all.set(bytes, length);
        length += bytes.length;
        if (length < all.length) return;
        try {
          for (let number = 0; number < PROOFS; number++)
            checkPattern(
              all.subarray(number * this.size, (number + 1) * this.size),
              this.size,
              first + number,
            );
          resolve();
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      };
    });
  }

  answer(count: number): Promise<void> {
    let bytes = 0;
    let answered = 0;
    return new Promise((resolve) => {
      this.#onBytes = (chunk) => {
        bytes += chunk.length;
        if (bytes < this.size) return;
        bytes -= this.size;
        void this.channel.send(this.#data);
        if (++answered === count) resolve();
      };
    });
  }

  ask(roundTrips: Float64Array): Promise<void> {
    let bytes = 0;
    let asked = 0;
    let previous = performance.now();
    return new Promise((resolve) => {
      this.#onBytes = (chunk) => {
        bytes += chunk.length;
        if (bytes < this.size) return;
        bytes -= this.size;
        const now = performance.now();
        roundTrips[asked] = now - previous;
        previous = now;
        if (++asked < roundTrips.length) void this.channel.send(this.#data);
        else resolve();
      };
      void this.channel.send(this.#data);
    });
  }

  async sendStream(count: number): Promise<void> {
    for (let sent = 0; sent < count; sent++) {
      const room = this.channel.send(this.#data);
      if (room !== undefined) await room;
    }
  }

  receiveStream(count: number): Promise<void> {
    let left = count * this.size;
    return new Promise((resolve) => {
      this.#onBytes = (bytes) => {
        left -= bytes.length;
        if (left === 0) resolve();
      };
    });
  }
}

/** Runs one side; `barrier` returns once both sides have called it. */
export async function measureChannel(
  channel: Channel,
  settings: Settings,
  barrier: () => Promise<void>,
): Promise<Result> {
  const { role, size, iterations, warmUp } = settings;
  const isServer = role === 'server';
  const isBackAndForth = settings.workload === 'ping-pong';
  const line = new Line(channel, size);
  const roundTrips = new Float64Array(isBackAndForth ? Math.max(iterations, warmUp) : 0);
  // Who receives listens before the barrier: what comes without a listener would be lost.
  const stage = async (receive: () => Promise<void>, send: () => Promise<void>): Promise<number> => {
    const receiving = isServer ? receive() : undefined;
    await barrier();
    const start = performance.now();
    await (receiving ?? send());
    return performance.now() - start;
  };
  await stage(
    () => line.takePatterns(0),
    () => line.sendPatterns(0),
  );
  const answered = isServer ? undefined : line.takePatterns(PROOFS);
  await barrier();
  await (answered ?? line.sendPatterns(PROOFS));
  const run = (count: number): Promise<number> =>
    stage(
      () => (isBackAndForth ? line.answer(count) : line.receiveStream(count)),
      () => (isBackAndForth ? line.ask(roundTrips.subarray(0, count)) : line.sendStream(count)),
    );
  await run(warmUp);
  const stop = startMeter(settings);
  const elapsedMs = await run(iterations);
  const result: Result = { ...stop(), verified: PROOFS };
  if (isBackAndForth && !isServer)
    Object.assign(result, summary(settings, roundTrips.subarray(0, iterations)));
  if (!isBackAndForth && isServer) result.rate = (iterations * 1000) / elapsedMs;
  return result;
}
