/** libfabric's log, imported into JavaScript. */
import { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished } from 'vitest';
import { LogImport, type LogImportOptions, type LogLine, getInfo, isAvailable } from 'libfabric/fi';
import { runModule } from '../helpers/child.js';

const found = isAvailable();
const busy = expect.objectContaining({ code: 'ERR_FABRIC_BUSY' });

/** An import that is closed after the test, and what it was told; `told()` is the next time that it is told something. */
function open(options?: LogImportOptions): { log: LogImport; lines: LogLine[]; told: () => Promise<void> } {
  const lines: LogLine[] = [];
  let wake: (() => void) | undefined;
  const log = LogImport.open((line) => {
    lines.push(line);
    wake?.();
  }, options);
  onTestFinished(() => {
    log.close();
  });
  return { log, lines, told: () => new Promise((resolve) => (wake = resolve)) };
}

describe.skipIf(!found.available)('an import of the log', () => {
  it('tells what libfabric and its providers say', async () => {
    const { log, lines, told } = open({ level: 'FI_LOG_INFO' });
    const first = told();
    await getInfo();
    await first;
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) {
      expect(Object.keys(line).sort()).toEqual([
        ...['function', 'level', 'line', 'message', 'provider', 'subsystem'],
      ]);
      expect(line.provider).not.toBe('');
      expect(line.level).toMatch(/^FI_LOG_(WARN|TRACE|INFO)$/);
      expect(line.subsystem).toMatch(/^FI_LOG_[A-Z_]+$/);
      expect(line.function).not.toBe('');
      expect(line.line).toBeGreaterThan(0);
      expect(line.message).not.toMatch(/\n$/);
    }
    expect(lines.some(({ level }) => level === 'FI_LOG_INFO')).toBe(true);
    expect(log.dropped).toBe(0);
  });

  it('tells nothing below its level, and nothing after close()', async () => {
    const warnings = open();
    await getInfo();
    warnings.log.close();
    expect(warnings.lines.filter(({ level }) => level !== 'FI_LOG_WARN')).toEqual([]);
    const before = warnings.lines.length;
    // What the next one is told would have reached the closed one first.
    const next = open({ level: 'FI_LOG_INFO' });
    const first = next.told();
    await getInfo();
    await first;
    expect(warnings.lines).toHaveLength(before);
  });

  it('is the only one of the process, of its workers too', async () => {
    const { log } = open();
    expect(() => LogImport.open(() => undefined)).toThrow(busy);
    const text = `
      const { parentPort } = require('node:worker_threads');
      import('libfabric/fi').then(({ LogImport }) => {
        try { LogImport.open(() => undefined); parentPort.postMessage('opened'); }
        catch (error) { parentPort.postMessage(error.code); }
      });`;
    const inWorker = (): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const worker = new Worker(text, { eval: true });
        let said: unknown;
        worker.once('message', (message: unknown) => (said = message));
        worker.once('error', reject);
        worker.once('exit', () => {
          resolve(said);
        });
      });
    expect(await inWorker()).toBe('ERR_FABRIC_BUSY');
    log.close();
    // It ends with its import open, which its environment gives back.
    expect(await inWorker()).toBe('opened');
    LogImport.open(() => undefined).close();
    // The end of a block closes one: there is room for the next.
    {
      using log = LogImport.open(() => undefined);
      expect(log.dropped).toBe(0);
    }
    LogImport.open(() => undefined).close();
  });

  it('closes once, and leaves stderr to libfabric again', async () => {
    const { code, stdout, stderr } = await runModule(
      `import { LogImport, getInfo } from 'libfabric/fi';
       const log = LogImport.open((line) => console.log(line.provider), { level: 'FI_LOG_INFO' });
       await getInfo();
       await new Promise((resolve) => setImmediate(resolve));
       log.close();
       log.close();
       console.error('closed');
       await getInfo();`,
      { env: { FI_LOG_LEVEL: 'info' } },
    );
    expect(code).toBe(0);
    expect(stdout).toContain('core');
    const [before, after] = stderr.split('closed\n');
    expect(before).toBe('');
    expect(after).toContain('libfabric:');
  });

  it('passes on what a listener throws, and goes on', async () => {
    const { code, stdout } = await runModule(
      `import { LogImport, getInfo } from 'libfabric/fi';
       let caught = 0;
       let told = 0;
       process.on('uncaughtException', (error) => { if (error.message === 'mine') caught++; });
       const log = LogImport.open(() => { told++; throw new Error('mine'); }, { level: 'FI_LOG_INFO' });
       await getInfo();
       while (caught < 2 || caught < told) await new Promise((resolve) => setImmediate(resolve));
       log.close();
       console.log(caught === told);`,
    );
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'true\n' });
  });

  it('refuses what is no listener, and no level', () => {
    for (const wrong of [undefined, null, 5, {}])
      expect(() => LogImport.open(wrong as never)).toThrow(TypeError);
    expect(() => LogImport.open(() => undefined, { level: 'FI_LOG_LOUD' as never })).toThrow(RangeError);
    expect(() => LogImport.open(() => undefined, { level: 7 as never })).toThrow(TypeError);
  });
});
