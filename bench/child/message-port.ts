// MessagePorts between two threads of this process: the main one asks or sends, a worker answers or receives.
import { on, once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort, Worker, isMainThread, workerData } from 'node:worker_threads';
import { measureChannel } from './channel-measure.js';
import { portChannel } from './channels.js';
import { type Result, type Settings, say } from './link.js';

interface Ports {
  settings: Settings;
  data: MessagePort;
  control: MessagePort;
}

/** One thread's side. The control port has a word for each barrier, and the worker's result at the end. */
class Side {
  // One listener for all of them: what comes to a port without a listener is lost.
  readonly #words: AsyncIterableIterator<[unknown]>;

  constructor(private readonly ports: Ports) {
    this.#words = on(ports.control, 'message') as AsyncIterableIterator<[unknown]>;
  }

  async hear(): Promise<unknown> {
    const { value } = (await this.#words.next()) as IteratorYieldResult<[unknown]>;
    return value[0];
  }

  measure(): Promise<Result> {
    const { settings, data, control } = this.ports;
    const barrier = async (): Promise<void> => {
      control.postMessage('here');
      await this.hear();
    };
    return measureChannel(portChannel(data), settings, barrier);
  }
}

async function runMain(): Promise<void> {
  const settings = JSON.parse(process.argv[2]) as Settings;
  const data = new MessageChannel();
  const control = new MessageChannel();
  const theirs: Ports = {
    settings: { ...settings, role: 'server' },
    data: data.port2,
    control: control.port2,
  };
  const worker = new Worker(fileURLToPath(import.meta.url), {
    workerData: theirs,
    transferList: [data.port2, control.port2],
  });
  const failed = once(worker, 'error').then(([error]) => {
    throw error as Error;
  });
  const side = new Side({
    settings: { ...settings, role: 'client' },
    data: data.port1,
    control: control.port1,
  });
  const both = async (): Promise<Result> => {
    const mine = await side.measure();
    const other = (await side.hear()) as Result;
    // CPU time is the process's: both threads'.
    return { ...other, ...mine, ...(other.rate === undefined ? {} : { rate: other.rate }) };
  };
  const result = await Promise.race([both(), failed]);
  await say({ kind: 'result', result });
  data.port1.close();
  control.port1.close();
}

if (isMainThread) {
  try {
    await runMain();
  } catch (error) {
    process.exitCode = 1;
    await say({ kind: 'failed', message: String(error) });
  } finally {
    process.disconnect();
  }
} else {
  const ports = workerData as Ports;
  const result = await new Side(ports).measure();
  ports.control.postMessage(result);
  ports.data.close();
  ports.control.close();
}
