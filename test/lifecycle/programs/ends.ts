// Ends a process, or a worker of it, in one way while an endpoint is at one stage of its life.
import { parentPort, isMainThread, workerData, Worker } from 'node:worker_threads';
import { type Place, type Stage, type Staged, reach } from './stages.js';

export type End =
  | 'natural'
  | 'exit'
  | 'exception'
  | 'rejection'
  | 'signal'
  | 'garbage'
  | 'worker-natural'
  | 'worker-exit'
  | 'worker-exception'
  | 'worker-terminate'
  | 'exit-with-worker';

export interface Case {
  place: Place;
  stage: Stage;
  end: End;
}

const { place, stage, end } = (isMainThread ? JSON.parse(process.argv[2] ?? '') : workerData) as Case;

function fail(): Error {
  return new Error('as asked for');
}

/** What the worker's parent is told when the stage is reached. */
function tellParent(): void {
  parentPort?.postMessage('ready');
}

function endHere({ endpoint, closing }: Staged): void {
  switch (end) {
    case 'natural':
    case 'worker-natural':
      // An open endpoint keeps a process alive.
      endpoint?.unref();
      break;
    case 'exit':
    case 'worker-exit':
      process.exit(7);
      break;
    case 'exception':
    case 'worker-exception':
      setImmediate(() => {
        throw fail();
      });
      break;
    case 'rejection':
      void Promise.reject(fail());
      break;
    case 'worker-terminate':
    case 'exit-with-worker':
    case 'signal':
    case 'garbage':
      break;
  }
  closing?.catch(() => undefined);
}

/** Collects garbage as long as anything keeps the process alive. */
function collectGarbage(): void {
  const collect = (globalThis as { gc?: () => void }).gc;
  if (collect === undefined) throw new Error('start with --expose-gc');
  setInterval(collect, 5).unref();
  // Objects that were never enabled keep nothing alive: until they are told of, something has to.
  if (stage !== 'created') return;
  const told = setInterval(() => undefined, 1000);
  process.on('warning', () => {
    clearInterval(told);
  });
}

function inWorker(): void {
  const worker = new Worker(new URL(import.meta.url), { workerData: { place, stage, end } });
  worker.on('message', () => {
    if (end === 'worker-terminate') void worker.terminate();
    if (end === 'exit-with-worker') process.exit(7);
  });
  worker.on('error', (error) => {
    console.log(`error ${error.message}`);
  });
  worker.on('exit', (code) => {
    console.log(`worker ${String(code)}`);
  });
}

async function here(): Promise<void> {
  const staged = await reach(stage, place, end === 'garbage');
  tellParent();
  if (isMainThread) console.log('ready');
  endHere(staged);
  // A signal comes from outside.
  if (end === 'signal' || end === 'worker-terminate' || end === 'exit-with-worker')
    setInterval(() => staged, 1000);
}

if (isMainThread && (end.startsWith('worker-') || end === 'exit-with-worker')) inWorker();
else if (end === 'garbage') void here().then(collectGarbage);
else void here();
