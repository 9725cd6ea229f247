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

/** What is done for that distance. */
export interface Effort {
  lookEveryMs: number;
  /** How long a run waits for it. */
  patienceMs: number;
  /** How often a run is made again that the host disturbed. */
  repeats: number;
}

const THOROUGH: Effort = { lookEveryMs: LOOK_EVERY_MS, patienceMs: 15_000, repeats: 4 };
/** For a look at the figures: how long it takes does not depend on the host. */
const QUICK: Effort = { lookEveryMs: LOOK_EVERY_MS, patienceMs: 0, repeats: 0 };

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
  readonly #effort: Effort;
  #wanted: number | undefined;
  #runs = 0;
  #elsewhere = 0;

  constructor(look: () => number | undefined, effort: Effort) {
    this.#look = look;
    this.#effort = effort;
  }

  /** Of the two cores, by the program core_distance. */
  static of({ pair }: Cores, program: () => string, isQuick: boolean): Distance {
    return new Distance(
      () => {
        if (pair === undefined) return undefined;
        try {
          const options = { encoding: 'utf8', timeout: 10_000 } as const;
          const { status, stdout } = spawnSync(program(), pair.map(String), options);
          return status === 0 && Number(stdout) > 0 ? Number(stdout) : undefined;
        } catch {
          return undefined; // no compiler
        }
      },
      isQuick ? QUICK : THOROUGH,
    );
  }

  async #settle(): Promise<void> {
    const looks: number[] = [];
    while (looks.length < FIRST_LOOKS) {
      const ns = this.#look();
      if (ns === undefined) return;
      looks.push(ns);
      // As a machine of its own says at once.
      if (looks.length === 3 && looks.every((look) => areAlike(look, ns))) break;
      await delay(this.#effort.lookEveryMs);
    }
    this.#wanted = commonest(looks);
  }

  async #isThere(wanted: number, patienceMs: number): Promise<boolean> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const ns = this.#look();
      if (ns !== undefined && areAlike(ns, wanted)) return true;
      if (performance.now() >= deadline) return false;
      await delay(this.#effort.lookEveryMs);
    }
  }

  /** Runs it at the distance that the first one found: again, where the cores moved meanwhile, and at last in any case. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#runs++ === 0) await this.#settle();
    const wanted = this.#wanted;
    if (wanted === undefined) return work();
    const { patienceMs, repeats } = this.#effort;
    for (let repeat = 0; ; repeat++) {
      const wasThere = await this.#isThere(wanted, patienceMs);
      const result = await work();
      if (wasThere && (await this.#isThere(wanted, 0))) return result;
      if (wasThere && repeat < repeats) continue;
      this.#elsewhere += 1;
      return result;
    }
  }

  /** In words, for whoever reads the figures. */
  get text(): string {
    if (this.#wanted === undefined) return 'the distance of the cores was not measured';
    const all = `a cache line takes ${Math.round(this.#wanted)} ns from core to core`;
    if (this.#elsewhere === 0) return all;
    return `${all} (${this.#elsewhere} of ${this.#runs} runs were made while they were elsewhere)`;
  }
}
