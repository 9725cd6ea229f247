// Another try of what nothing that happens would bring: a receive that was refused while none is posted.

const PAUSE_MS = 16;

export class Later {
  readonly #run: () => void;
  #isDue = false;

  constructor(run: () => void) {
    this.#run = run;
  }

  /** Calls once, after a pause, however often it was asked. */
  ask(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    // What keeps the process alive is the endpoint, unless it was told not to (unref()).
    setTimeout(() => {
      this.#isDue = false;
      this.#run();
    }, PAUSE_MS).unref();
  }
}
