// What a person sees while it runs: a bar on a terminal, else a line for each cell. On stderr: stdout is for what comes out.
import { load } from '../packages.js';

export interface Progress {
  /** A line that stays. */
  say(text: string): void;
  /** What is done now, and which part of it. */
  step(place: string, detail: string): void;
  /** So many steps are done. */
  done(steps: number): void;
  stop(): void;
}

function lines(total: number): Progress {
  let done = 0;
  let shown = '';
  const write = (text: string): void => void process.stderr.write(`bench: ${text}\n`);
  return {
    say: write,
    step(place) {
      if (place !== shown) write(`${Math.floor((100 * done) / total)} % ${place}`);
      shown = place;
    },
    done: (steps) => void (done += steps),
    stop: () => undefined,
  };
}

/** A bar over so many steps. */
export function showProgress(total: number): Progress {
  const cli = load('cli-progress');
  if (cli === undefined || !process.stderr.isTTY) return lines(total);
  const bar = new cli.SingleBar({
    format: 'bench [{bar}] {percentage} % | {eta_formatted} left | {text}',
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
    gracefulExit: true,
    etaBuffer: 50,
  });
  bar.start(total, 0, { text: '' });
  return {
    say: (text) => void process.stderr.write(`\r\u001b[Kbench: ${text}\n`),
    step: (place, detail) => bar.increment(0, { text: `${place}, ${detail}` }),
    done: (steps) => bar.increment(steps, {}),
    stop: () => bar.stop(),
  };
}
