import { startTestPostgres, takePort } from '@kafscale/testing';
import type { TestPostgres } from '@kafscale/testing';
import { DataDir } from './data-dir.js';
import { ServerProcess } from './server-process.js';
import type { TestStore } from './stores.js';

type Role = 'coordinator' | 'ingest' | 'fetch' | 'front';

export interface RoleProcess {
  readonly role: Role;
  readonly server: ServerProcess;
  /** Of a front. */
  readonly kafkaPort: number;
  /** Where its metrics are. */
  readonly httpPort: number;
}

const secret = 'system-test-cluster-secret';

/** One coordinator, two ingest nodes, two fetch nodes and two fronts, each a process of its own. */
export class RoleCluster {
  readonly #postgres: TestPostgres;
  readonly #dataDir: DataDir;
  readonly #env: Readonly<Record<string, string>>;
  readonly #coordinatorHttpPort: number;
  readonly #processes: RoleProcess[] = [];

  private constructor(options: {
    postgres: TestPostgres;
    dataDir: DataDir;
    env: Readonly<Record<string, string>>;
    coordinatorHttpPort: number;
  }) {
    this.#postgres = options.postgres;
    this.#dataDir = options.dataDir;
    this.#env = options.env;
    this.#coordinatorHttpPort = options.coordinatorHttpPort;
  }

  static async start(store: TestStore): Promise<RoleCluster> {
    const dataDir = new DataDir();
    const postgres = await startTestPostgres();
    const coordinatorPort = await takePort();
    const cluster = new RoleCluster({
      postgres,
      dataDir,
      env: {
        KAFSCALE_DATA_DIR: dataDir.path,
        ...store.env,
        KAFSCALE_METADATA_URL: await postgres.createDatabase(),
        KAFSCALE_INTERNAL_PORT: String(coordinatorPort),
        KAFSCALE_COORDINATOR_URL: `ws://127.0.0.1:${coordinatorPort}`,
        KAFSCALE_CLUSTER_SECRET: secret,
        KAFSCALE_GROUP_INITIAL_REBALANCE_DELAY_MS: '200',
      },
      coordinatorHttpPort: await takePort(),
    });
    try {
      await cluster.startCoordinator();
      const others = ['ingest', 'ingest', 'fetch', 'fetch', 'front', 'front'] as const;
      await Promise.all(others.map((role) => cluster.startRole(role)));
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  of(role: Role): readonly RoleProcess[] {
    return this.#processes.filter((each) => each.role === role && !each.server.hasExited);
  }

  /** Always at the same address: what the others were told. */
  async startCoordinator(): Promise<RoleProcess> {
    return this.#start('coordinator', this.#coordinatorHttpPort, {});
  }

  async startRole(role: Exclude<Role, 'coordinator'>): Promise<RoleProcess> {
    return this.#start(role, await takePort(), {
      KAFSCALE_INTERNAL_PORT: '0',
      KAFSCALE_KAFKA_PORT: String(await takePort()),
    });
  }

  /** The end of every log, for failure messages. */
  get tails(): string {
    const tails = this.#processes.map(({ role, server }) => {
      return `--- ${role} ${server.pid}${server.hasExited ? ' (ended)' : ''}\n${server.tail}`;
    });
    return tails.join('\n');
  }

  async stop(): Promise<void> {
    for (const { server } of this.#processes) server.killGroup();
    await Promise.all(this.#processes.map(({ server }) => server.exited));
    await this.#postgres.stop();
    await this.#dataDir.remove();
  }

  async #start(
    role: Role,
    httpPort: number,
    env: Readonly<Record<string, string>>,
  ): Promise<RoleProcess> {
    const all: Record<string, string> = {
      ...this.#env,
      ...env,
      KAFSCALE_HTTP_PORT: String(httpPort),
    };
    const server = ServerProcess.spawn({ args: [role], env: all, httpPort });
    const kafkaPort = Number(all['KAFSCALE_KAFKA_PORT'] ?? 0);
    const started = { role, server, kafkaPort, httpPort };
    this.#processes.push(started);
    await server.waitUntilReady();
    return started;
  }
}
