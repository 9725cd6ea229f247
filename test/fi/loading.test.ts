import { copyFileSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isAvailable } from 'libfabric';
import { type ChildOptions, resultOf, runModule } from '../helpers/child.js';

interface Refusal {
  name: string;
  code: string;
  message: string;
}

const found = isAvailable();
if (!found.available) throw new Error(`these tests need libfabric: ${found.reason}`);
const libraryPath = found.path;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'libfabric-loading-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** What the package says with these variables. */
function availability(env: ChildOptions['env']): Promise<unknown> {
  return resultOf(
    `import { isAvailable } from 'libfabric'; console.log(JSON.stringify(isAvailable()));`,
    env === undefined ? {} : { env },
  );
}

describe('LIBFABRIC_PATH', () => {
  it('that names the real file is taken', async () => {
    expect(await availability({ LIBFABRIC_PATH: libraryPath })).toEqual({
      available: true,
      version: found.version,
      path: libraryPath,
    });
  });

  it('that names a link is followed, and the real file is named', async () => {
    const link = join(folder, 'linked.so');
    symlinkSync(libraryPath, link);
    expect(await availability({ LIBFABRIC_PATH: link })).toMatchObject({
      available: true,
      path: libraryPath,
    });
  });

  it('that is empty means nothing', async () => {
    expect(await availability({ LIBFABRIC_PATH: '' })).toMatchObject({ available: true });
  });

  it('that names nothing is the only place that is tried', async () => {
    const path = join(folder, 'nothing.so.1');
    const answer = (await availability({ LIBFABRIC_PATH: path })) as { reason: string; remedy: string };
    expect(answer).toMatchObject({ available: false });
    expect(answer.reason).toContain(path);
    expect(answer.reason).not.toContain('/opt/amazon');
    expect(answer.remedy).toContain('LIBFABRIC_PATH');
    expect(answer.remedy).toContain('apt-get install libfabric1');
  });

  it('that names something else is refused with the reason', async () => {
    const text = join(folder, 'text.so');
    writeFileSync(text, 'this is no library');
    expect(await availability({ LIBFABRIC_PATH: text })).toMatchObject({
      available: false,
      reason: expect.stringContaining(text) as string,
    });
    // A library, but not libfabric: the addon's own process has one for sure.
    const other = await resultOf(`
      import { readFileSync } from 'node:fs';
      console.log(JSON.stringify(readFileSync('/proc/self/maps', 'utf8').match(/\\/.*libm\\.so.*/)[0]));`);
    expect(await availability({ LIBFABRIC_PATH: other as string })).toMatchObject({
      available: false,
      reason: expect.stringMatching(/it has no fi_getinfo/) as string,
    });
  });
});

describe('without libfabric', () => {
  const env = { LIBFABRIC_PATH: '/nowhere/libfabric.so.1' };

  it('every other call throws ERR_FABRIC_UNAVAILABLE with the words of isAvailable()', async () => {
    const { available, refusals } = (await resultOf(
      `
      import { explain, isAvailable, open } from 'libfabric';
      import * as fi from 'libfabric/fi';
      const available = isAvailable();
      const refusals = {};
      const note = async (name, call) => {
        try { await call(); refusals[name] = 'no refusal'; }
        catch ({ name: kind, code, message }) { refusals[name] = { name: kind, code, message }; }
      };
      await note('open', () => open());
      await note('open tcp', () => open({ provider: 'tcp', features: ['tagged'] }));
      await note('explain', () => explain());
      await note('getInfo', () => fi.getInfo());
      await note('getInfo with hints', () => fi.getInfo({ providerName: 'tcp' }));
      await note('libraryVersion', () => fi.libraryVersion());
      await note('Memory.allocate', () => fi.Memory.allocate(64));
      await note('SharedMemoryName.claim', () => fi.SharedMemoryName.claim());
      await note('Endpoint.batch', () => fi.Endpoint.batch);
      console.log(JSON.stringify({ available, refusals }));`,
      { env },
    )) as { available: { reason: string; remedy: string }; refusals: Record<string, Refusal> };
    expect(available).toMatchObject({ available: false });
    expect(Object.keys(refusals)).toHaveLength(9);
    for (const [name, refusal] of Object.entries(refusals)) {
      expect({ name, refusal }).toMatchObject({
        name,
        refusal: { name: 'FabricError', code: 'ERR_FABRIC_UNAVAILABLE' },
      });
      expect(refusal.message).toContain(available.reason);
      expect(refusal.message).toContain(available.remedy);
    }
  });

  it('importing, asking and ending work as ever', async () => {
    const { code, stdout, stderr } = await runModule(
      `
      import * as everyday from 'libfabric';
      import * as fi from 'libfabric/fi';
      everyday.isAvailable();
      console.log(fi.errnoName(11), fi.flagNames('caps', fi.FI_MSG).join(), typeof everyday.open);`,
      { env },
    );
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'FI_EAGAIN FI_MSG function\n', stderr: '' });
  });
});

describe('variables that are set before libfabric is loaded', () => {
  // process.env shows the environment of the process itself: what setenv(3) changed too.
  const program = `
    import { isAvailable } from 'libfabric';
    const before = [process.env.IPATH_NO_BACKTRACE, process.env.FI_MR_CACHE_MONITOR];
    isAvailable();
    const after = [process.env.IPATH_NO_BACKTRACE, process.env.FI_MR_CACHE_MONITOR];
    console.log(JSON.stringify({ before: before.map(String), after: after.map(String) }));`;

  it('keep it from taking over signals and from patching libc', async () => {
    const env = { IPATH_NO_BACKTRACE: undefined, FI_MR_CACHE_MONITOR: undefined };
    expect(await resultOf(program, { env })).toEqual({
      before: ['undefined', 'undefined'],
      after: ['1', 'disabled'],
    });
  });

  it('are left alone where the user has set them', async () => {
    const env = { IPATH_NO_BACKTRACE: '0', FI_MR_CACHE_MONITOR: 'userfaultfd' };
    expect(await resultOf(program, { env })).toEqual({
      before: ['0', 'userfaultfd'],
      after: ['0', 'userfaultfd'],
    });
  });

  it('are not set where nobody asks for libfabric', async () => {
    const env = { IPATH_NO_BACKTRACE: undefined, FI_MR_CACHE_MONITOR: undefined };
    const imported = `
      import 'libfabric';
      console.log(JSON.stringify([String(process.env.IPATH_NO_BACKTRACE), String(process.env.FI_MR_CACHE_MONITOR)]));`;
    expect(await resultOf(imported, { env })).toEqual(['undefined', 'undefined']);
  });
});

describe('signals', () => {
  it('keep the handlers that they had before libfabric was loaded and used', async () => {
    // SigCgt: a bit for each signal with a handler.
    const answer = (await resultOf(`
      import { readFileSync } from 'node:fs';
      import { isAvailable } from 'libfabric';
      import { getInfo } from 'libfabric/fi';
      const caught = () => readFileSync('/proc/self/status', 'utf8').match(/SigCgt:\\s*(\\w+)/)[1];
      const before = caught();
      isAvailable();
      const loaded = caught();
      await getInfo();
      console.log(JSON.stringify({ before, loaded, used: caught() }));`)) as Record<string, string>;
    expect(answer).toEqual({ before: answer.before, loaded: answer.before, used: answer.before });
  });
});

describe('a second copy of libfabric in the process', () => {
  const program = `
    import { getInfo, libraryVersion } from 'libfabric/fi';
    const warnings = [];
    process.on('warning', ({ name, code, message }) => warnings.push({ name, code, message }));
    await getInfo({ providerName: 'sockets' });
    await getInfo({ providerName: 'sockets' });
    await new Promise((resolve) => setImmediate(resolve));
    console.log(JSON.stringify({ warnings, ...libraryVersion() }));`;
  interface Answer {
    warnings: Refusal[];
    path: string;
    otherCopies: string[];
  }

  it('is told by one process warning, which names both', async () => {
    const copy = join(folder, 'libfabric.so.1.copy');
    copyFileSync(libraryPath, copy);
    const answer = (await resultOf(program, {
      env: { LD_PRELOAD: copy, LIBFABRIC_PATH: libraryPath },
    })) as Answer;
    const real = realpathSync(copy);
    expect(answer.path).toBe(libraryPath);
    expect(answer.otherCopies).toEqual([real]);
    expect(answer.warnings).toHaveLength(1);
    expect(answer.warnings[0]).toMatchObject({ name: 'FabricWarning', code: 'FABRIC_TWO_COPIES' });
    expect(answer.warnings[0].message).toContain(real);
    expect(answer.warnings[0].message).toContain(libraryPath);
    expect(answer.warnings[0].message).toContain('LIBFABRIC_PATH');
  });

  it('is not loaded where the process has one already', async () => {
    const answer = (await resultOf(program, { env: { LD_PRELOAD: libraryPath } })) as Answer;
    expect(answer).toMatchObject({ path: libraryPath, otherCopies: [], warnings: [] });
  });

  it('is not seen where there is none', async () => {
    expect(await resultOf(program)).toMatchObject({ path: libraryPath, otherCopies: [], warnings: [] });
  });
});
