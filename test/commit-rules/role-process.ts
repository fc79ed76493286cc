import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectIngest, serveCoordinator, servicePaths } from '@kafscale/cluster';
import type { CoordinatorService } from '@kafscale/cluster';
import { rpcEndpoint, startServer } from '@kafscale/rpc';
import { takePort } from '@kafscale/testing';
import { ServerProcess } from '../support/server-process.js';
import { cleanup } from './cleanup.js';
import { KafkaConnection } from './kafka-calls.js';

export const clusterSecret = 'a secret of this test';
const log = (): void => {};
/** The caller's end of a link must not give up a process that stands still. */
export const patient = { heartbeatMs: 120_000 };

export interface RoleProcess {
  readonly process: ServerProcess;
  /** Of its internal listener. */
  readonly url: string;
  readonly httpPort: number;
}

/** A real process of one role; it is not ready yet. */
export async function spawnRole(role: string, env: Record<string, string>): Promise<RoleProcess> {
  const [httpPort, internalPort] = [await takePort(), await takePort()];
  const dataDir = mkdtempSync(join(tmpdir(), 'kafscale-role-'));
  cleanup(() => rmSync(dataDir, { recursive: true, force: true }));
  const server = ServerProcess.spawn({
    args: [role],
    httpPort,
    env: {
      KAFSCALE_HTTP_PORT: String(httpPort),
      KAFSCALE_INTERNAL_PORT: String(internalPort),
      KAFSCALE_CLUSTER_SECRET: clusterSecret,
      KAFSCALE_DATA_DIR: dataDir,
      KAFSCALE_LOG_FORMAT: 'json',
      ...env,
    },
  });
  cleanup(() => server.killGroup());
  return { process: server, url: `ws://127.0.0.1:${internalPort}`, httpPort };
}

/** Where processes reach a coordinator of this one. */
export async function listenAsCoordinator(coordinator: CoordinatorService): Promise<string> {
  const service = serveCoordinator(coordinator);
  const path = servicePaths.coordinator;
  const endpoints = [rpcEndpoint({ path, secret: clusterSecret, service, log })];
  const server = await startServer({ host: '127.0.0.1', port: 0, routes: [], endpoints }, log);
  cleanup(() => server.close(0));
  return `ws://127.0.0.1:${server.port}`;
}

/** A client's connection to an ingest process. */
export function connectToIngest({ url }: RoleProcess): KafkaConnection {
  const caller = () => ({ nodeId: -1, role: 'front' as const });
  const link = connectIngest(
    { url, secret: clusterSecret, caller, log, bounds: patient },
    'produce',
  );
  cleanup(() => link.close());
  return new KafkaConnection(link);
}

/** The sum of one of its metrics over all labels; 0 when it is not there. */
export async function metricOf({ httpPort }: RoleProcess, name: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${httpPort}/metrics`);
  const lines = (await response.text()).split('\n').filter((line) => {
    return line.startsWith(`kafscale_${name}{`) || line.startsWith(`kafscale_${name} `);
  });
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
