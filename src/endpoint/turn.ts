// Fairness within JavaScript: promises that are resolved already let a program run from await to await without the loop
// ever turning, which would starve timers and servers. After so many in one turn, the next waits for the loop.

const PER_TURN = 512;

let left = PER_TURN;
let scheduled = false;
let waiters: (() => void)[] = [];

function turn(): void {
  scheduled = false;
  left = PER_TURN;
  const resume = waiters;
  waiters = [];
  for (const waiter of resume) waiter();
}

/** Counts one operation that finished at once. False: its promise is to resolve by nextTurn(). */
export function spendTurn(): boolean {
  if (!scheduled) {
    scheduled = true;
    setImmediate(turn);
  }
  return --left > 0;
}

/** Calls back in the loop's next turn. */
export function nextTurn(callback: () => void): void {
  waiters.push(callback);
}

/** Resolves in the loop's next turn. */
export function untilNextTurn(): Promise<void> {
  return new Promise((resolve) => {
    nextTurn(resolve);
  });
}
