// Faults that nobody listens for.

/** How long the same words are not said again. */
const QUIET_MS = 1000;

/** Process warnings. A connection that breaks takes hundreds of messages with it, all with a few words: each is said once. */
export class FaultWarnings {
  readonly #said = new Set<string>();

  say(text: string): void {
    if (this.#said.has(text)) return;
    if (this.#said.size === 0)
      setTimeout(() => {
        this.#said.clear();
      }, QUIET_MS).unref();
    this.#said.add(text);
    process.emitWarning(text, { type: 'FabricWarning', code: 'FABRIC_FAULT' });
  }
}
