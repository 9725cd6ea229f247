/** examples/efa on the software device, and what the check for real hardware says without any. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { explainProviderError } from 'libfabric/fi';
import { describe, expect, test } from 'vitest';
import { killReceiver, line, startReceiver } from '../helpers/efa-programs.js';
import { CommandRun, onDevice, whyNoDevice } from '../helpers/softefa.js';

const reason = whyNoDevice();
const root = fileURLToPath(new URL('../..', import.meta.url));
const program = 'out/examples/efa/main.js';
const call = (contact: string) => onDevice(['node', program, 'call', contact]);

describe.skipIf(reason !== undefined)(
  `examples/efa${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    test('calls, and is answered', async () => {
      const callee = new CommandRun(['softefa', '--', 'node', program, 'serve']);
      expect(await call(await line(callee))).toMatchObject({
        code: 0,
        stdout: 'hello yourself\n',
        stderr: '',
      });
      expect(await callee.ended).toMatchObject({ code: 0, stderr: '' });
    });

    test('says why a callee that is gone does not answer, and what to do', async () => {
      const callee = await startReceiver();
      await killReceiver(callee);
      const { cause, remedy } = explainProviderError('efa', 9)!;
      expect(await call(callee.contact)).toMatchObject({
        code: 1,
        stdout: '',
        stderr: `${cause}: ${remedy}\n`,
      });
    });

    test('says that it was given no contact', async () => {
      const { code, stderr } = await call('nonsense');
      expect(code).toBe(1);
      expect(stderr).toMatch(/^\S+Error: .*contact.*\n$/);
    });
  },
);

test('examples/efa shows its usage', () => {
  const { status, stderr } = spawnSync(process.execPath, [program], { cwd: root, encoding: 'utf8' });
  expect(status).toBe(2);
  expect(stderr).toContain('usage:');
});

const folder = fileURLToPath(new URL('..', import.meta.url));
const check = (...args: readonly string[]) =>
  spawnSync('bash', ['../scripts/efa-hardware-check.sh', ...args], { cwd: folder, encoding: 'utf8' });

test('the check for real hardware says that there is none', (context) => {
  if (existsSync('/sys/class/infiniband')) context.skip('this machine has RDMA devices');
  const { status, stderr } = check('/dev/null');
  expect(status).toBe(2);
  expect(stderr).toContain('no EFA device');
});

test('the check for real hardware writes its report where its caller says', () => {
  const { status, stderr } = check('--software', 'no-such-folder/report');
  expect(status).toBe(2);
  expect(stderr).toContain(`${folder}no-such-folder/report`);
});
