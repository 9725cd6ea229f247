// How far the two cores are from each other. The host of a virtual machine moves its processors: what is compared must
// have run at one distance.
import { spawnSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import type { Cores } from './processes.js';

/** Two distances that differ by no more than this factor are one. */
const ALIKE = 1.5;
/** Looks at the beginning, and the pause between them: the distance that most have is the one that is waited for. */
const FIRST_LOOKS = 15;
const LOOK_EVERY_MS = 200;
/** How long a run waits for that distance. */
const PATIENCE_MS = 15_000;
/** How often a run is repeated that the host disturbed. */
const REPEATS = 4;

function areAlike(left: number, right: number): boolean {
  return Math.max(left, right) <= ALIKE * Math.min(left, right);
}

/** The look with most others like it. */
export function commonest(looks: readonly number[]): number | undefined {
  const likeIt = (look: number): number => looks.filter((other) => areAlike(look, other)).length;
  return [...looks].sort((left, right) => likeIt(right) - likeIt(left) || left - right)[0];
}

/** Has runs made at one distance of the cores. Where nothing is pinned, or nothing can be measured, it just runs them. */
export class Distance {
  readonly #look: () => number | undefined;
  readonly #pauseMs: number;
  readonly #patienceMs: number;
  #wanted: number | undefined;
  #runs = 0;
  #elsewhere = 0;

  constructor(look: () => number | undefined, pauseMs = LOOK_EVERY_MS, patienceMs = PATIENCE_MS) {
    this.#look = look;
    this.#pauseMs = pauseMs;
    this.#patienceMs = patienceMs;
  }

  /** Of the two cores, by the program core_distance. */
  static of({ pair }: Cores, program: () => string): Distance {
    return new Distance(() => {
      if (pair === undefined) return undefined;
      try {
        const options = { encoding: 'utf8', timeout: 10_000 } as const;
        const { status, stdout } = spawnSync(program(), pair.map(String), options);
        return status === 0 && Number(stdout) > 0 ? Number(stdout) : undefined;
      } catch {
        return undefined; // no compiler
      }
    });
  }

  async #settle(): Promise<void> {
    const looks: number[] = [];
    while (looks.length < FIRST_LOOKS) {
      const ns = this.#look();
      if (ns === undefined) return;
      looks.push(ns);
      // As a machine of its own says at once.
      if (looks.length === 3 && looks.every((look) => areAlike(look, ns))) break;
      await delay(this.#pauseMs);
    }
    this.#wanted = commonest(looks);
  }

  async #isThere(wanted: number, patienceMs: number): Promise<boolean> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const ns = this.#look();
      if (ns !== undefined && areAlike(ns, wanted)) return true;
      if (performance.now() >= deadline) return false;
      await delay(this.#pauseMs);
    }
  }

  /** Runs it at the distance that the first one found: again, where the cores moved meanwhile, and at last in any case. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#runs++ === 0) await this.#settle();
    const wanted = this.#wanted;
    if (wanted === undefined) return work();
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      if (!(await this.#isThere(wanted, this.#patienceMs))) break;
      const result = await work();
      if (await this.#isThere(wanted, 0)) return result;
    }
    this.#elsewhere += 1;
    return work();
  }

  /** In words, for whoever reads the figures. */
  get text(): string {
    if (this.#wanted === undefined) return 'the distance of the cores was not measured';
    const all = `a cache line takes ${Math.round(this.#wanted)} ns from core to core`;
    if (this.#elsewhere === 0) return all;
    return `${all} (${this.#elsewhere} of ${this.#runs} runs were made while they were elsewhere)`;
  }
}
