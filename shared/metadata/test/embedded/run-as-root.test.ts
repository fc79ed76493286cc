import { chmod, chown, mkdir, mkdtemp, rm, stat, symlink } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { locateBinaries } from '../../src/embedded/binaries.js';
import { runProgram } from '../../src/embedded/process-runner.js';
import { OwnerProcess } from './owner-process.js';

const nobody = 65_534;
const isRoot = process.getuid?.() === 0;

/** Whether user namespaces and an ordinary user's access to our binaries exist here. */
const { postgres } = await locateBinaries();
const asNamespace = ['unshare', '--user', '--map-user=1000', '--', postgres, '--version'];
const canRename = isRoot && (await runProgram(asNamespace, { timeoutMs: 9_000 })).code === 0;
const asNobody = { uid: nobody, gid: nobody, timeoutMs: 9_000 };
const canSwitch = isRoot && (await runProgram([postgres, '--version'], asNobody)).code === 0;

let homeDir: string;
let publicDir: string;
/** A PATH without `unshare`, which is how a system that forbids user namespaces looks to us. */
let withoutNamespaces: NodeJS.ProcessEnv;

beforeEach(async () => {
  homeDir = await mkdtemp(join(homedir(), '.kafscale-test-'));
  publicDir = await mkdtemp(join(tmpdir(), 'kafscale-root-'));
  await chmod(publicDir, 0o755);
  const binDir = join(publicDir, 'bin');
  await mkdir(binDir);
  await symlink('/bin/sh', join(binDir, 'sh'));
  withoutNamespaces = { ...process.env, PATH: binDir };
});

afterEach(async () => {
  await rm(homeDir, { recursive: true, force: true });
  await rm(publicDir, { recursive: true, force: true });
});

async function runTwice(dataDir: string, env?: NodeJS.ProcessEnv): Promise<void> {
  for (const count of [1, 2]) {
    const owner = await OwnerProcess.start(dataDir, env);
    expect(owner.report).toMatchObject({ takenOver: false, count });
    await owner.stop();
  }
}

describe.runIf(canRename)('root, with user namespaces', () => {
  test('runs in a folder that only root can enter, and keeps its files', async () => {
    const dataDir = join(homeDir, 'data');
    await runTwice(dataDir);
    expect((await stat(homeDir)).mode & 0o777).toBe(0o700);
    expect((await stat(join(dataDir, '18', 'data'))).uid).toBe(0);
  });

  test('takes over a server there that a killed process left', async () => {
    const dataDir = join(homeDir, 'data');
    const first = await OwnerProcess.start(dataDir);
    await first.kill();
    const second = await OwnerProcess.start(dataDir);
    expect(second.report).toEqual({ pid: first.report.pid, takenOver: true, count: 2 });
    await second.stop();
  });
});

describe.runIf(canSwitch)('root, without user namespaces', () => {
  test('runs the server as another user where that user can get to', async () => {
    const dataDir = join(publicDir, 'data');
    await runTwice(dataDir, withoutNamespaces);
    expect((await stat(join(dataDir, '18', 'data'))).uid).not.toBe(0);
    expect((await stat(join(dataDir, '18', 'data'))).mode & 0o077).toBe(0);
  });

  test('goes on with a cluster that was made the other way', async () => {
    const dataDir = join(publicDir, 'data');
    const first = await OwnerProcess.start(dataDir);
    await first.stop();
    const second = await OwnerProcess.start(dataDir, withoutNamespaces);
    expect(second.report).toMatchObject({ count: 2 });
    await second.stop();
    const third = await OwnerProcess.start(dataDir);
    expect(third.report).toMatchObject({ count: 3 });
    await third.stop();
  });

  test("uses the owner of a user's private folder there", async () => {
    const privateDir = join(publicDir, 'private');
    await mkdir(privateDir, { mode: 0o700 });
    await chown(privateDir, nobody, nobody);
    await runTwice(join(privateDir, 'data'), withoutNamespaces);
    expect((await stat(join(privateDir, 'data', '18', 'data'))).uid).toBe(nobody);
  });

  test('says in one line why nothing works in a folder that only root can enter', async () => {
    const { report } = await OwnerProcess.start(join(homeDir, 'data'), withoutNamespaces);
    expect(report.code).toBe('EMBEDDED_POSTGRES_ROOT');
    expect(report.message).toContain('KAFSCALE_METADATA_URL');
    expect(report.message).not.toContain('\n');
  });
});
