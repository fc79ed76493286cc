import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CheckedServer } from './server.js';
import { freePorts, ServerProcess } from './server-process.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/**
 * `kafscale standalone` on a fresh data directory. Its settings are its defaults, but for ports, the
 * partitions of topics that clients create by naming them, and the wait for a new group's second
 * member, which every check would otherwise sit through.
 */
export async function startKafscale(partitions: number): Promise<CheckedServer> {
  const [kafkaPort, httpPort] = await freePorts(2);
  const dataDir = await mkdtemp(join(tmpdir(), 'kafscale-clients-'));
  const server = new ServerProcess({
    command: process.execPath,
    arguments: [join(root, 'services/standalone/bin/kafscale.js'), 'standalone'],
    environment: {
      ...environmentWithoutOptions(),
      KAFSCALE_KAFKA_PORT: String(kafkaPort),
      KAFSCALE_HTTP_PORT: String(httpPort),
      KAFSCALE_DATA_DIR: dataDir,
      KAFSCALE_NUM_PARTITIONS: String(partitions),
      KAFSCALE_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
    },
    ready: () => isReady(`http://127.0.0.1:${httpPort}/health/ready`),
    cleanExits: [0],
  });
  // Once, whoever asks: the end of the checks and a signal may come together.
  let disposing: Promise<void> | undefined;
  const dispose = (): Promise<void> => (disposing ??= endAndDelete(server, dataDir));
  try {
    await server.start();
  } catch (error) {
    await dispose();
    throw new Error(`${String(error)}\n${server.log}`, { cause: error });
  }
  return {
    description: 'kafscale standalone',
    bootstrap: `127.0.0.1:${kafkaPort}`,
    control: server,
    hasTransactions: false,
    restartsQuietly: true,
    logTail: () => server.log,
    dispose,
  };
}

/** KAFSCALE_* of the caller's shell would change what is checked. */
function environmentWithoutOptions(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('KAFSCALE_')),
  );
}

async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}

async function endAndDelete(server: ServerProcess, dataDir: string): Promise<void> {
  await server.shutDown();
  await endOrphans(dataDir);
  await rm(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}

/**
 * A killed server leaves its embedded PostgreSQL running; the next start takes it over, but the last
 * one may have failed. Its process id stands in its data directory.
 */
async function endOrphans(dataDir: string): Promise<void> {
  const files = await readdir(dataDir, { recursive: true, encoding: 'utf8' });
  for (const file of files.filter((name) => basename(name) === 'postmaster.pid')) {
    const [pid] = (await readFile(join(dataDir, file), 'utf8')).split('\n');
    try {
      process.kill(Number(pid), 'SIGQUIT');
    } catch {
      // It has ended meanwhile.
    }
  }
}
