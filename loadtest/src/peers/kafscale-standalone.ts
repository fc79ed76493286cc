import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts } from '../clients/server-process.js';
import type { BenchServer, BenchServerOptions } from './bench-server.js';
import { repositoryRoot } from './kafka-jars.js';
import { StartedProgram } from './started-program.js';

export interface StandaloneOptions extends BenchServerOptions {
  /** Where Node writes a CPU profile of the server when it ends. */
  readonly profileDir?: string | undefined;
  /** `KAFSCALE_…` and other variables that are not its defaults: another store, for example. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Kept at the end, so that a later server goes on with it. Absent: a fresh one, deleted. */
  readonly dataDir?: string;
  /** Says what `settings` make of it. */
  readonly description?: string;
  /** In tables. */
  readonly name?: string;
  /** Of the S3 server that it stores in. */
  readonly storePids?: readonly number[];
}

export interface StandaloneServer extends BenchServer {
  /** Of its HTTP surface, without a slash at its end: `/metrics` is there. */
  readonly httpUrl: string;
  readonly dataDir: string;
}

/**
 * `kafscale standalone` with its defaults: local files, embedded PostgreSQL. Only the wait for a new
 * group's second member is off, as it is for the peer.
 */
export async function startStandalone(options: StandaloneOptions): Promise<StandaloneServer> {
  const [kafkaPort = 0, httpPort = 0] = await freePorts(2);
  const httpUrl = `http://127.0.0.1:${httpPort}`;
  const dataDir = options.dataDir ?? (await mkdtemp(join(options.dataRoot, 'kafscale-')));
  const profiling = await profilingArguments(options.profileDir);
  const program = await StartedProgram.start({
    command: process.execPath,
    arguments: [
      ...profiling,
      join(repositoryRoot, 'services/standalone/bin/kafscale.js'),
      'standalone',
    ],
    environment: {
      ...environmentWithoutOptions(),
      KAFSCALE_KAFKA_PORT: String(kafkaPort),
      KAFSCALE_HTTP_PORT: String(httpPort),
      KAFSCALE_DATA_DIR: dataDir,
      KAFSCALE_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
      ...options.settings,
    },
    isReady: () => isReady(`${httpUrl}/health/ready`),
  });
  return {
    name: options.name ?? 'KafScale',
    description: options.description ?? defaultDescription,
    address: { host: '127.0.0.1', port: kafkaPort },
    httpUrl,
    dataDir,
    rootPids: [program.pid],
    storePids: options.storePids ?? [],
    dispose: async () => {
      await program.stop();
      if (options.dataDir !== undefined) return;
      await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

const defaultDescription =
  'kafscale standalone, defaults: local files and embedded PostgreSQL, all fsynced';

async function profilingArguments(directory: string | undefined): Promise<string[]> {
  if (directory === undefined) return [];
  await mkdir(directory, { recursive: true });
  return ['--cpu-prof', '--cpu-prof-interval=500', `--cpu-prof-dir=${directory}`];
}

/** KAFSCALE_* of the caller's shell would change what is measured. */
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
