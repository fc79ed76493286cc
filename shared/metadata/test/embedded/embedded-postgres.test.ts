import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startEmbeddedPostgres } from '../../src/embedded/index.js';
import type { EmbeddedPostgres } from '../../src/embedded/index.js';
import { runProgram } from '../../src/embedded/process-runner.js';
import { OwnerProcess } from './owner-process.js';

const log = { info: () => undefined, warn: () => undefined };
let parentDir: string;
let dataDir: string;
/** Stopped after each test, whatever became of it. */
let servers: EmbeddedPostgres[] = [];

beforeEach(async () => {
  parentDir = await mkdtemp(join(tmpdir(), 'kafscale-embedded-'));
  dataDir = join(parentDir, 'postgres');
});

afterEach(async () => {
  for (const server of servers) await server.stop('immediate');
  servers = [];
  await rm(parentDir, { recursive: true, force: true });
});

async function start(onLost?: (error: Error) => void): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir, log, ...(onLost && { onLost }) });
  servers.push(server);
  return server;
}

async function countKept(server: EmbeddedPostgres): Promise<number | undefined> {
  const sql = postgres(server.url, { max: 1 });
  try {
    const [row] = await sql<{ count: number }[]>`select count(*)::int as count from kept`;
    return row?.count;
  } finally {
    await sql.end();
  }
}

/** Who holds the claim to the server, and by which session. */
async function claimOf(server: EmbeddedPostgres) {
  const sql = postgres(server.url, { max: 1, onnotice: () => undefined });
  try {
    const [row] = await sql<{ name: string; pid: number }[]>`
      select application_name as name, pid from pg_stat_activity join pg_locks using (pid)
      where locktype = 'advisory' and granted`;
    return row;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** A process that ended but that nobody has waited for (in a container without an init) is dead. */
async function isAlive(pid: number): Promise<boolean> {
  const { code, output } = await runProgram(['ps', '-o', 'stat=', '-p', String(pid)], {
    timeoutMs: 9_000,
  });
  return code === 0 && !output.startsWith('Z');
}

describe('a folder that is used for the first time', () => {
  test('gets a durable server on loopback TCP that only the secret opens', async () => {
    const server = await start();
    const sql = postgres(server.url, { max: 1 });
    const shown: Record<string, string> = {};
    for (const name of ['fsync', 'synchronous_commit', 'jit', 'listen_addresses']) {
      const [row] = await sql.unsafe(`show ${name}`);
      shown[name] = String(row?.[name]);
    }
    await sql.end();
    expect(shown).toEqual({
      fsync: 'on',
      synchronous_commit: 'on',
      jit: 'off',
      listen_addresses: '127.0.0.1',
    });
    const wrong = new URL(server.url);
    wrong.password = 'wrong';
    const refused = postgres(wrong.href, { max: 1 });
    await expect(refused`select 1`).rejects.toMatchObject({ code: '28P01' });
    await refused.end();
    expect((await stat(join(dataDir, '18', 'secret'))).mode & 0o777).toBe(0o600);
  });

  test('gets one cluster when two processes start at once, and one of them is refused', async () => {
    const owners = await Promise.all([OwnerProcess.start(dataDir), OwnerProcess.start(dataDir)]);
    const winners = owners.filter((owner) => owner.report.code === undefined);
    const losers = owners.filter((owner) => owner.report.code === 'DATA_DIR_IN_USE');
    expect([winners.length, losers.length]).toEqual([1, 1]);
    for (const winner of winners) await winner.stop();
  });
});

describe('the next start', () => {
  test('finds the data after a stop, and the stopped server is gone', async () => {
    const owner = await OwnerProcess.start(dataDir);
    expect(owner.report).toMatchObject({ takenOver: false, count: 1 });
    await owner.stop();
    expect(await isAlive(owner.report.pid!)).toBe(false);
    const server = await start();
    expect(await countKept(server)).toBe(1);
  });

  test('takes over the server that a killed process left, each time', async () => {
    const first = await OwnerProcess.start(dataDir);
    await first.kill();
    const second = await OwnerProcess.start(dataDir);
    expect(second.report).toEqual({ pid: first.report.pid, takenOver: true, count: 2 });
    await second.kill();
    const third = await start();
    expect(third.pid).toBe(first.report.pid);
    expect(await countKept(third)).toBe(2);
    await third.stop();
    expect(await isAlive(third.pid)).toBe(false);
  });

  test('waits for what is left of a server that was killed together with its owner', async () => {
    for (let round = 1; round <= 3; round++) {
      const owner = await OwnerProcess.start(dataDir);
      expect(owner.report).toMatchObject({ takenOver: false, count: round });
      process.kill(owner.report.pid!, 'SIGKILL');
      await owner.kill();
    }
    expect(await countKept(await start())).toBe(3);
  });

  test('waits for a server that is shutting down', async () => {
    const owner = await OwnerProcess.start(dataDir);
    await owner.kill();
    process.kill(owner.report.pid!, 'SIGINT');
    const server = await start();
    expect(server.pid).not.toBe(owner.report.pid);
    expect(await countKept(server)).toBe(1);
  });

  test('replaces a server that another release has left running', async () => {
    const owner = await OwnerProcess.start(dataDir);
    await owner.kill();
    const settingsPath = join(dataDir, '18', 'data', 'kafscale.conf');
    await writeFile(settingsPath, `${await readFile(settingsPath, 'utf8')}# older\n`);
    const server = await start();
    expect(server.pid).not.toBe(owner.report.pid);
    expect(await countKept(server)).toBe(1);
  });

  test('is not fooled by a process id that something else has now, and leaves it alone', async () => {
    const owner = await OwnerProcess.start(dataDir);
    process.kill(owner.report.pid!, 'SIGKILL');
    await owner.kill();
    const bystander = spawn('sleep', ['60']);
    try {
      const pidPath = join(dataDir, '18', 'data', 'postmaster.pid');
      const lines = (await readFile(pidPath, 'utf8')).split('\n');
      await writeFile(pidPath, [String(bystander.pid), ...lines.slice(1)].join('\n'));
      expect(await countKept(await start())).toBe(1);
      expect(bystander.exitCode).toBe(null);
      expect(bystander.signalCode).toBe(null);
    } finally {
      const ended = once(bystander, 'exit');
      bystander.kill('SIGKILL');
      await ended;
    }
  });
});

describe('a folder in use', () => {
  test('is refused in one line that names the owner, and the owner goes on', async () => {
    const owner = await OwnerProcess.start(dataDir);
    const refused = await OwnerProcess.start(dataDir);
    expect(refused.report.code).toBe('DATA_DIR_IN_USE');
    expect(refused.report.message).toContain(`process ${owner.child.pid}`);
    expect(refused.report.message).not.toContain('\n');
    await owner.stop();
    expect(await countKept(await start())).toBe(1);
  });

  test('stays owned when the server restarts after a crash of one of its processes', async () => {
    const server = await start(() => expect.unreachable('the claim was restored'));
    const claim = await claimOf(server);
    const sql = postgres(server.url, { max: 1, onnotice: () => undefined });
    const backends = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
    for (const backend of backends) process.kill(backend.pid, 'SIGKILL');
    await expect(sql`select pg_sleep(5)`).rejects.toThrow();
    await sql.end({ timeout: 1 });
    // It takes its claim again as soon as it can; whoever came before that would have it.
    const isBack = async (): Promise<boolean> => {
      const now = await claimOf(server);
      return now?.name === `kafscale owner, process ${process.pid}` && now.pid !== claim?.pid;
    };
    await expect.poll(isBack).toBe(true);
    const refused = await OwnerProcess.start(dataDir);
    expect(refused.report.code).toBe('DATA_DIR_IN_USE');
  });

  test('is reported lost when its server dies', async () => {
    const lost = new Promise<Error>((resolve) => {
      void start(resolve).then((server) => process.kill(server.pid, 'SIGKILL'));
    });
    expect(await lost).toMatchObject({ code: 'EMBEDDED_POSTGRES_FAILED' });
  });
});

test('a folder that can not be written is refused in one line', async () => {
  const file = join(parentDir, 'file');
  await writeFile(file, '');
  const attempt = startEmbeddedPostgres({ dataDir: join(file, 'postgres'), log });
  await expect(attempt).rejects.toMatchObject({ code: 'DATA_DIR_NOT_WRITABLE' });
});

test('a cluster of another major version is not started over', async () => {
  await (await start()).stop();
  servers = [];
  await rename(join(dataDir, '18'), join(dataDir, '17'));
  const attempt = startEmbeddedPostgres({ dataDir, log });
  await expect(attempt).rejects.toMatchObject({ code: 'EMBEDDED_POSTGRES_VERSION' });
});

test('a secret that got lost is named', async () => {
  await (await start()).stop();
  servers = [];
  await rm(join(dataDir, '18', 'secret'));
  const attempt = startEmbeddedPostgres({ dataDir, log });
  await expect(attempt).rejects.toThrow(/password.*secret/);
});

test('files that only the owner may read stay so', async () => {
  await start();
  await chmod(parentDir, 0o700);
  expect((await stat(join(dataDir, '18'))).mode & 0o077).toBe(0);
  expect((await stat(join(dataDir, 'postgres.log'))).mode & 0o077).toBe(0);
});
