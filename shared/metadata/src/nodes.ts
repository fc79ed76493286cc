import type { ClusterView, NodeGrant, NodeInfo, NodeRegistration } from '@kafscale/cluster';
import { invariant, OperatingError } from '@kafscale/core';
import type { Clock } from '@kafscale/core';

import { textArray } from './arrays.js';
import type { Database, Sql } from './database.js';
import { NodeSilence } from './node-silence.js';

export interface NodeRegistryOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly nodeDeadAfterMs: number;
}

interface NodeRow {
  readonly node_id: number;
  readonly instance_id: string;
  readonly roles: NodeInfo['roles'];
  readonly zone: string;
  readonly internal_url: string;
  readonly advertised_host: string | null;
  readonly advertised_port: number | null;
  readonly broker_id: number | null;
}

interface ViewRow {
  readonly cluster_id: string;
  readonly incarnation: number;
  readonly now_ms: number;
  readonly nodes: readonly NodeRow[];
}

/**
 * Who is in the cluster. A node id belongs to one process start and never returns, so that fencing
 * it is final; what clients see as the broker id belongs to the advertised address.
 */
export class NodeRegistry {
  readonly #database: Database;
  readonly #silence: NodeSilence;
  readonly #nodeDeadAfterMs: number;

  constructor(options: NodeRegistryOptions) {
    this.#database = options.database;
    this.#nodeDeadAfterMs = options.nodeDeadAfterMs;
    this.#silence = new NodeSilence(options.clock, options.nodeDeadAfterMs);
  }

  async register(registration: NodeRegistration): Promise<NodeGrant> {
    return this.#database.transaction(async ({ sql }) => {
      const brokerId = await brokerIdOf(sql, registration.advertised);
      const rows = await sql<{ node_id: number }[]>`
        INSERT INTO nodes (instance_id, roles, zone, internal_url, advertised_host, advertised_port,
                           broker_id, started_at, heartbeat_at, state)
        VALUES (${registration.instanceId}, ${textArray(registration.roles)}::text[],
                ${registration.zone}, ${registration.internalUrl},
                ${registration.advertised?.host ?? null}, ${registration.advertised?.port ?? null},
                ${brokerId}, clock_timestamp(), clock_timestamp(), 'live')
        ON CONFLICT (instance_id) DO NOTHING
        RETURNING node_id`;
      const [row] = rows;
      const nodeId = row?.node_id ?? (await repeatedNodeId(sql, registration.instanceId));
      return { ...(await readView(sql)), nodeId };
    });
  }

  /** One statement: it is most of what an idle process asks of the database. */
  async heartbeat(nodeId: number, instanceId: string): Promise<ClusterView> {
    const [row] = await this.#database.write(
      (sql) => sql<(ViewRow & { has_beaten: boolean; has_silent: boolean })[]>`
        WITH beat AS (
          UPDATE nodes SET heartbeat_at = clock_timestamp()
          WHERE node_id = ${nodeId} AND instance_id = ${instanceId} AND state = 'live'
          RETURNING node_id
        )
        SELECT ${viewColumns(sql)},
          EXISTS (SELECT FROM beat) AS has_beaten,
          EXISTS (
            SELECT FROM nodes WHERE node_id <> ${nodeId} AND ${isSilent(sql, this.#nodeDeadAfterMs)}
          ) AS has_silent
        FROM cluster`,
    );
    invariant(row !== undefined, 'there is a cluster row');
    if (!row.has_beaten) {
      throw new OperatingError('NODE_FENCED', `node ${nodeId} was declared dead, or has left`);
    }
    // First: what held this statement up for long has held up the others' heartbeats too.
    this.#silence.onHeartbeat();
    const mayDeclare = row.has_silent && this.#silence.mayDeclareDead();
    return mayDeclare ? this.#declareSilentDead() : viewOf(row);
  }

  async deregister(nodeId: number, instanceId: string): Promise<void> {
    await this.#leaveLive(nodeId, 'left', instanceId);
  }

  async declareDead(nodeId: number): Promise<boolean> {
    return this.#leaveLive(nodeId, 'dead', null);
  }

  async view(): Promise<ClusterView> {
    return this.#database.read(readView);
  }

  /** A statement of its own, and rarely: its locks wait for the commits of the dead. */
  async #declareSilentDead(): Promise<ClusterView> {
    return this.#database.transaction(async ({ sql }) => {
      await sql`
        UPDATE nodes SET state = 'dead'
        WHERE node_id IN (
          SELECT node_id FROM nodes WHERE ${isSilent(sql, this.#nodeDeadAfterMs)}
          ORDER BY node_id FOR UPDATE)`;
      return readView(sql);
    });
  }

  async #leaveLive(
    nodeId: number,
    state: 'dead' | 'left',
    instanceId: string | null,
  ): Promise<boolean> {
    return this.#database.transaction(async ({ sql }) => {
      // FOR UPDATE waits for the commits of this node that are in progress; an UPDATE would not.
      const rows = await sql`
        SELECT node_id FROM nodes
        WHERE node_id = ${nodeId} AND state = 'live'
          AND (${instanceId}::uuid IS NULL OR instance_id = ${instanceId}::uuid)
        FOR UPDATE`;
      await sql`
        UPDATE nodes SET state = ${state}
        WHERE node_id = ${nodeId} AND ${rows.length > 0}::boolean`;
      return rows.length > 0;
    });
  }
}

/** A registration whose answer was lost is repeated: it finds its own row. */
async function repeatedNodeId(sql: Sql, instanceId: string): Promise<number> {
  const rows = await sql<{ node_id: number }[]>`
    SELECT node_id FROM nodes WHERE instance_id = ${instanceId} AND state = 'live'`;
  const [row] = rows;
  if (row === undefined) {
    throw new OperatingError(
      'NODE_FENCED',
      `instance ${instanceId} was declared dead, or has left`,
    );
  }
  return row.node_id;
}

async function brokerIdOf(
  sql: Sql,
  advertised: NodeRegistration['advertised'],
): Promise<number | null> {
  if (advertised === null) return null;
  const { host, port } = advertised;
  // The second statement sees a row that another registration inserted meanwhile.
  await sql`
    INSERT INTO brokers (host, port) SELECT ${host}::text, ${port}::int
    WHERE NOT EXISTS (SELECT FROM brokers WHERE host = ${host} AND port = ${port})
    ON CONFLICT DO NOTHING`;
  const rows = await sql<{ broker_id: number }[]>`
    SELECT broker_id FROM brokers WHERE host = ${host} AND port = ${port}`;
  const [row] = rows;
  invariant(row !== undefined, 'an advertised address has a broker id');
  return row.broker_id;
}

/** Of a row of `nodes`: it counts as alive, and has not been heard of for too long. */
function isSilent(sql: Sql, nodeDeadAfterMs: number) {
  return sql`state = 'live'
    AND heartbeat_at < clock_timestamp() - ${nodeDeadAfterMs}::float8 * interval '1 millisecond'`;
}

/** The columns of a ViewRow, for a statement FROM cluster. */
function viewColumns(sql: Sql) {
  return sql`
    cluster_id, incarnation,
    (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms,
    (SELECT coalesce(json_agg(live ORDER BY live.node_id), '[]') FROM (
       SELECT node_id, instance_id, array_to_json(roles) AS roles, zone, internal_url,
              advertised_host, advertised_port, broker_id
       FROM nodes WHERE state = 'live') live) AS nodes`;
}

async function readView(sql: Sql): Promise<ClusterView> {
  const [row] = await sql<ViewRow[]>`SELECT ${viewColumns(sql)} FROM cluster`;
  invariant(row !== undefined, 'there is a cluster row');
  return viewOf(row);
}

function viewOf(row: ViewRow): ClusterView {
  return {
    clusterId: row.cluster_id,
    incarnation: row.incarnation,
    databaseTimeMs: row.now_ms,
    nodes: row.nodes.map(nodeOf),
  };
}

function nodeOf(row: NodeRow): NodeInfo {
  const { advertised_host: host, advertised_port: port } = row;
  return {
    nodeId: row.node_id,
    brokerId: row.broker_id,
    instanceId: row.instance_id,
    roles: row.roles,
    zone: row.zone,
    internalUrl: row.internal_url,
    advertised: host === null || port === null ? null : { host, port },
  };
}
