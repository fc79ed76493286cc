import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findS3Server, startS3Server, startTestPostgres, takePort } from '@kafscale/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ServerProcess } from './support/server-process.js';
import { Standalone } from './support/standalone.js';

const exitMsMax = 100_000;
const secret = 'system-test-cluster-secret';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kafscale-start-errors-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs it to its end; ports and data dir are its own unless `env` says otherwise. */
async function run(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: number | null; stderr: string }> {
  const httpPort = await takePort();
  const own = {
    KAFSCALE_KAFKA_PORT: String(await takePort()),
    KAFSCALE_HTTP_PORT: String(httpPort),
    KAFSCALE_DATA_DIR: mkdtempSync(join(folder, 'data-')),
  };
  const server = ServerProcess.spawn({ args, env: { ...own, ...env }, httpPort });
  const { code } = await server.waitForExit(exitMsMax);
  return { code, stderr: server.stderr };
}

/** One line for people: what is wrong, and no stack. */
function expectOneLine(stderr: string, says: RegExp): void {
  expect(stderr).toMatch(/^kafscale: .*\n$/);
  expect(stderr).toMatch(says);
}

function listen(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      resolve(server);
    });
  });
}

describe('a start that can not work ends with 1 and one line', () => {
  it.each([
    ['Kafka', 'KAFSCALE_KAFKA_PORT'],
    ['HTTP', 'KAFSCALE_HTTP_PORT'],
  ])('the %s port is taken', async (_name, variable) => {
    const port = await takePort();
    const holder = await listen(port);
    const { code, stderr } = await run(['standalone'], { [variable]: String(port) });
    holder.close();
    expectOneLine(stderr, new RegExp(`127\\.0\\.0\\.1:${port}.*in use`));
    expect(code).toBe(1);
  });

  it('the data dir is in use by another live process, which goes on', async () => {
    const first = await Standalone.prepare();
    const server = await first.start();
    try {
      const { code, stderr } = await run(['standalone'], { KAFSCALE_DATA_DIR: first.dataDir.path });
      expectOneLine(stderr, new RegExp(`${first.dataDir.path}.* in use by .*${server.pid}`));
      expect(code).toBe(1);
      await server.waitUntilReady();
      expect(await server.stop()).toEqual({ code: 0, signal: null });
    } finally {
      await first.remove(server);
    }
  });

  it('PostgreSQL can not be reached', async () => {
    const port = await takePort();
    const { code, stderr } = await run(['standalone'], {
      KAFSCALE_METADATA_URL: `postgres://someone:hidden-password@127.0.0.1:${port}/log`,
    });
    expectOneLine(stderr, new RegExp(`127\\.0\\.0\\.1:${port}`));
    expect(stderr).not.toContain('hidden-password');
    expect(code).toBe(1);
  });

  it('PostgreSQL refuses the login, or has no such database', async () => {
    const postgres = await startTestPostgres();
    const url = new URL(await postgres.createDatabase());
    const login = new URL(url);
    login.password = 'not-the-password';
    const refused = await run(['coordinator'], { KAFSCALE_METADATA_URL: login.href });
    const database = new URL(url);
    database.pathname = '/no_such_database';
    const missing = await run(['coordinator'], { KAFSCALE_METADATA_URL: database.href });
    await postgres.stop();
    expectOneLine(refused.stderr, /password/);
    expect(refused.stderr).not.toContain('not-the-password');
    expect(refused.code).toBe(1);
    expectOneLine(missing.stderr, /no_such_database/);
    expect(missing.code).toBe(1);
  });

  it('S3 can not be reached', async () => {
    const port = await takePort();
    const { code, stderr } = await run(['standalone'], {
      KAFSCALE_STORE_URL: 's3://somewhere/log',
      KAFSCALE_S3_ENDPOINT: `http://127.0.0.1:${port}`,
      KAFSCALE_S3_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'key',
      AWS_SECRET_ACCESS_KEY: 'secret',
    });
    expectOneLine(stderr, /s3:\/\/somewhere.*STORE_UNREACHABLE/);
    expect(code).toBe(1);
  });

  const noS3 = findS3Server() === undefined;
  it.skipIf(noS3)(`the bucket is missing${noS3 ? ' (left out: no versitygw)' : ''}`, async () => {
    const s3 = await startS3Server();
    const { code, stderr } = await run(['standalone'], {
      KAFSCALE_STORE_URL: 's3://no-such-bucket/log',
      KAFSCALE_S3_ENDPOINT: s3.endpoint,
      KAFSCALE_S3_REGION: s3.region,
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    });
    await s3.stop();
    expectOneLine(stderr, /no-such-bucket/);
    expect(code).toBe(1);
  });

  it.each([
    ['standalone', 'KAFSCALE_DATA_DIR', (path: string) => path],
    ['standalone', 'KAFSCALE_STORE_URL', (path: string) => `file://${path}`],
  ])('%s can not write to %s', async (command, variable, value) => {
    // Nobody can make a folder below a file, root neither.
    const file = join(folder, `file-${variable}`);
    writeFileSync(file, '');
    const path = join(file, 'below');
    const { code, stderr } = await run([command], { [variable]: value(path) });
    expectOneLine(stderr, new RegExp(path));
    expect(code).toBe(1);
  });

  it('an internal listener beyond loopback has no secret', async () => {
    const args = ['--internal-host', '0.0.0.0', '--internal-advertised-host', '10.0.0.1'];
    const { code, stderr } = await run(['coordinator', ...args]);
    expectOneLine(stderr, /0\.0\.0\.0.*KAFSCALE_CLUSTER_SECRET/);
    expect(code).toBe(1);
  });
});

describe('a mistake in the configuration ends with 2 and one line', () => {
  it.each<[string, string[], Record<string, string>, RegExp]>([
    ['a role without a coordinator', ['front'], {}, /--coordinator-url/],
    ['an unknown option', ['standalone', '--kafka-prot', '1'], {}, /--kafka-prot/],
    ['an unknown variable', ['standalone'], { KAFSCALE_KAFKA_PROT: '1' }, /KAFSCALE_KAFKA_PROT/],
    ['an option of another role', ['ingest', '--kafka-port', '1'], {}, /--kafka-port/],
    ['an ill-typed option', ['standalone', '--kafka-port', 'many'], {}, /--kafka-port/],
    ['an ill-typed variable', ['standalone'], { KAFSCALE_HTTP_PORT: '-1' }, /KAFSCALE_HTTP_PORT/],
    ['a store of no kind', ['standalone', '--store-url', 'ftp://a/b'], {}, /--store-url/],
    ['a secret that is too short', ['front'], { KAFSCALE_CLUSTER_SECRET: 'x' }, /SECRET/],
  ])('%s', async (_name, args, env, says) => {
    const { code, stderr } = await run(args, env);
    expectOneLine(stderr, says);
    expect(code).toBe(2);
  });
});

describe('a role that waits', () => {
  it('for its coordinator is not ready, and ends when it is told to', async () => {
    const httpPort = await takePort();
    const server = ServerProcess.spawn({
      args: ['front'],
      env: {
        KAFSCALE_COORDINATOR_URL: `ws://127.0.0.1:${await takePort()}`,
        KAFSCALE_CLUSTER_SECRET: secret,
        KAFSCALE_HTTP_PORT: String(httpPort),
        KAFSCALE_KAFKA_PORT: String(await takePort()),
      },
      httpPort,
    });
    const ready = `http://127.0.0.1:${httpPort}/health/ready`;
    const status = async (): Promise<number> =>
      (await fetch(ready).catch(() => ({ status: 0 }))).status;
    await expect.poll(status).toBe(503);
    expect((await server.stop()).code).toBe(0);
  });

  it('for the first ingest and fetch node is not ready: clients would be cut off', async () => {
    const postgres = await startTestPostgres();
    const [coordinatorPort, kafkaPort] = [await takePort(), await takePort()];
    const env = {
      KAFSCALE_CLUSTER_SECRET: secret,
      KAFSCALE_COORDINATOR_URL: `ws://127.0.0.1:${coordinatorPort}`,
      KAFSCALE_METADATA_URL: await postgres.createDatabase(),
      KAFSCALE_DATA_DIR: mkdtempSync(join(folder, 'roles-')),
      KAFSCALE_KAFKA_PORT: String(kafkaPort),
    };
    const started: ServerProcess[] = [];
    const spawn = async (role: string, internalPort: number): Promise<number> => {
      const httpPort = await takePort();
      const ports = {
        KAFSCALE_HTTP_PORT: String(httpPort),
        KAFSCALE_INTERNAL_PORT: String(internalPort),
      };
      started.push(ServerProcess.spawn({ args: [role], env: { ...env, ...ports }, httpPort }));
      return httpPort;
    };
    try {
      await spawn('coordinator', coordinatorPort);
      const frontHttpPort = await spawn('front', 0);
      const checks = async (): Promise<unknown> => {
        const answer = await fetch(`http://127.0.0.1:${frontHttpPort}/health/ready`);
        return ((await answer.json()) as { checks: Record<string, string> }).checks['neighbours'];
      };
      await expect.poll(checks).toBe('no ingest and no fetch node found yet');
      await spawn('ingest', 0);
      await expect.poll(checks).toBe('no fetch node found yet');
      await spawn('fetch', 0);
      await expect.poll(checks).toBe('ok');
    } finally {
      for (const server of started) server.killGroup();
      await Promise.all(started.map(({ exited }) => exited));
      await postgres.stop();
    }
  });
});
