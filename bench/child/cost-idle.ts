// What an endpoint costs that has been used and waits for the next message: processor time of the client's process.
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { open } from 'libfabric';
import { barrier, exchange, runChild, startMeter } from './link.js';

await runChild(async (settings) => {
  const { role, provider, size, iterations, progress = 'auto', seconds = 1 } = settings;
  const endpoint = await open({ provider, node: '127.0.0.1', progress });
  const peer = endpoint.peer(await exchange(endpoint.contact));
  const data = new Uint8Array(size);
  await barrier();
  // A descriptor that once was readable, a loop that stays awake after activity: what costs something idle begins with use.
  for (let done = 0; done < iterations; done++) {
    if (role === 'client') await endpoint.send(peer, data);
    await endpoint.recv(size);
    if (role === 'server') await endpoint.send(peer, data);
  }
  const waiting = endpoint.recv(size);
  await barrier();
  const stop = startMeter(settings);
  const start = performance.now();
  await sleep(seconds * 1000);
  const { cpuSeconds } = stop();
  const elapsedMs = performance.now() - start;
  await barrier();
  await endpoint.send(peer, data);
  await waiting;
  const figures = role === 'client' ? { coreInPercent: (cpuSeconds * 100_000) / elapsedMs } : undefined;
  return {
    result: { cpuSeconds, ...(figures === undefined ? {} : { figures }) },
    close: () => endpoint.close(),
  };
});
