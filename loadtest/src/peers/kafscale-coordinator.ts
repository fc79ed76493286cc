import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { freePorts } from '../clients/server-process.js';
import type { BenchServerOptions } from './bench-server.js';
import { repositoryRoot } from './kafka-jars.js';
import { StartedProgram } from './started-program.js';

/** A coordinator alone, which ingest nodes can call. */
export interface CoordinatorServer {
  readonly description: string;
  /** Of its internal listener. */
  readonly url: string;
  readonly secret: string;
  readonly httpUrl: string;
  readonly rootPids: readonly number[];
  dispose(): Promise<void>;
}

export async function startCoordinatorServer(
  options: BenchServerOptions & { readonly profileDir?: string | undefined },
): Promise<CoordinatorServer> {
  const [internalPort = 0, httpPort = 0] = await freePorts(2);
  const httpUrl = `http://127.0.0.1:${httpPort}`;
  const dataDir = await mkdtemp(join(options.dataRoot, 'coordinator-'));
  const secret = randomBytes(16).toString('hex');
  const profiling =
    options.profileDir === undefined
      ? []
      : ['--cpu-prof', '--cpu-prof-interval=500', `--cpu-prof-dir=${options.profileDir}`];
  const program = await StartedProgram.start({
    command: process.execPath,
    arguments: [
      ...profiling,
      join(repositoryRoot, 'services/standalone/bin/kafscale.js'),
      'coordinator',
    ],
    environment: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      KAFSCALE_INTERNAL_PORT: String(internalPort),
      KAFSCALE_CLUSTER_SECRET: secret,
      KAFSCALE_HTTP_PORT: String(httpPort),
      KAFSCALE_DATA_DIR: dataDir,
      // The objects of these segments do not exist: nobody may try to merge them.
      KAFSCALE_COMPACTION_GRACE_MS: String(24 * 3_600_000),
    },
    isReady: () => isReady(`${httpUrl}/health/ready`),
  });
  return {
    description: 'kafscale coordinator, embedded PostgreSQL, fsynced',
    url: `ws://127.0.0.1:${internalPort}`,
    secret,
    httpUrl,
    rootPids: [program.pid],
    dispose: async () => {
      await program.stop();
      await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
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
