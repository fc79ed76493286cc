import { describe, expect, it, vi } from 'vitest';

import type { NodeGrant } from '@kafscale/cluster';

import { registration } from './support/commits.js';
import { useTestDatabases } from './support/test-databases.js';

const databases = useTestDatabases();
const fenced = { code: 'NODE_FENCED' };
const address = { host: 'kafka.example', port: 9092 };

function brokerIdOf(grant: NodeGrant): number | null {
  return grant.nodes.find((node) => node.nodeId === grant.nodeId)!.brokerId;
}

describe('a registration', () => {
  it('brings a fresh node id, the cluster, the time, and every live node', async () => {
    const store = await databases.openStore();
    const front = registration(['front'], address);
    const ingest = registration(['ingest', 'fetch']);
    const one = await store.registerNode(front);
    const two = await store.registerNode(ingest);
    expect(two.nodeId).not.toBe(one.nodeId);
    expect(two.clusterId).toMatch(/^[\w-]{22}$/);
    expect(two.clusterId).toBe(one.clusterId);
    expect(two.incarnation).toBe(1);
    expect(Math.abs(two.databaseTimeMs - Date.now())).toBeLessThan(60_000);
    expect(two.nodes).toEqual([
      { ...front, nodeId: one.nodeId, brokerId: 1 },
      { ...ingest, nodeId: two.nodeId, brokerId: null },
    ]);
  });

  it('keeps the broker id of an address, and never a node id', async () => {
    const store = await databases.openStore();
    const one = await store.registerNode(registration(['front'], address));
    const other = await store.registerNode(registration(['front'], { ...address, port: 9093 }));
    const again = await store.registerNode(registration(['front'], address));
    expect(brokerIdOf(again)).toBe(brokerIdOf(one));
    expect(brokerIdOf(other)).not.toBe(brokerIdOf(one));
    expect(new Set([one.nodeId, other.nodeId, again.nodeId]).size).toBe(3);
  });

  it('that is repeated because its answer was lost finds itself', async () => {
    const store = await databases.openStore();
    const node = registration(['ingest']);
    const one = await store.registerNode(node);
    expect((await store.registerNode(node)).nodeId).toBe(one.nodeId);
    await store.declareNodeDead(one.nodeId);
    await expect(store.registerNode(node)).rejects.toMatchObject(fenced);
  });

  it('gives one broker id to one address also when many come at once', async () => {
    const store = await databases.openStore();
    const grants = await Promise.all(
      Array.from({ length: 10 }, () => store.registerNode(registration(['front'], address))),
    );
    expect(new Set(grants.map(brokerIdOf)).size).toBe(1);
  });
});

describe('a heartbeat', () => {
  it('is refused after a goodbye, a death, or with another instance', async () => {
    const store = await databases.openStore();
    const node = registration(['ingest']);
    const { nodeId } = await store.registerNode(node);
    expect((await store.heartbeatNode(nodeId, node.instanceId)).nodes).toHaveLength(1);
    await expect(
      store.heartbeatNode(nodeId, registration(['ingest']).instanceId),
    ).rejects.toMatchObject(fenced);
    await store.deregisterNode(nodeId, node.instanceId);
    await expect(store.heartbeatNode(nodeId, node.instanceId)).rejects.toMatchObject(fenced);
    expect((await store.clusterView()).nodes).toEqual([]);
  });

  it('is one statement', async () => {
    const store = await databases.openStore();
    const node = registration(['ingest']);
    const { nodeId } = await store.registerNode(node);
    const calls = (['write', 'read', 'transaction'] as const).map((way) =>
      vi.spyOn(store.database, way),
    );
    await store.heartbeatNode(nodeId, node.instanceId);
    expect(calls.map(({ mock }) => mock.calls.length)).toEqual([1, 0, 0]);
  });

  it('of one node declares the silent ones dead, when the registry has listened long enough', async () => {
    let nowMs = 0;
    const clock = { monotonicMs: () => nowMs, wallMs: () => 0 };
    const url = await databases.createUrl();
    const store = await databases.openStore({ url, clock, nodeDeadAfterMs: 1000 });
    const [silent, beating] = [registration(['ingest']), registration(['ingest'])];
    const dead = await store.registerNode(silent);
    const { nodeId } = await store.registerNode(beating);
    await databases.query(
      url,
      `UPDATE nodes SET heartbeat_at = now() - interval '1 hour' WHERE node_id = ${dead.nodeId}`,
    );
    // The database was away: everybody looks silent, nobody is blamed.
    const beat = async (): Promise<number[]> => {
      const view = await store.heartbeatNode(nodeId, beating.instanceId);
      return view.nodes.map((node) => node.nodeId);
    };
    const both = [dead.nodeId, nodeId];
    expect(await beat()).toEqual(both);
    nowMs += 400;
    expect(await beat()).toEqual(both);
    nowMs += 5000;
    expect(await beat()).toEqual(both); // a gap: listening starts anew
    for (let beats = 0; beats < 2; beats += 1) {
      nowMs += 400;
      expect(await beat()).toEqual(both);
    }
    nowMs += 400;
    expect(await beat()).toEqual([nodeId]);
    await expect(store.heartbeatNode(dead.nodeId, silent.instanceId)).rejects.toMatchObject(fenced);
  });

  it('that the database held up blames nobody: the others were held up with it', async () => {
    let nowMs = 0;
    const clock = { monotonicMs: () => nowMs, wallMs: () => 0 };
    const url = await databases.createUrl();
    // By the database's clock nobody is silent for so long before the test says so.
    const store = await databases.openStore({ url, clock, nodeDeadAfterMs: 1_000_000 });
    const [silent, beating] = [registration(['ingest']), registration(['ingest'])];
    const other = await store.registerNode(silent);
    const { nodeId } = await store.registerNode(beating);
    const beat = async (): Promise<number[]> => {
      const view = await store.heartbeatNode(nodeId, beating.instanceId);
      return view.nodes.map((node) => node.nodeId);
    };
    for (let beats = 0; beats < 4; beats += 1) {
      nowMs += 400_000;
      expect(await beat()).toEqual([other.nodeId, nodeId]);
    }
    await databases.query(
      url,
      `UPDATE nodes SET heartbeat_at = now() - interval '1 hour' WHERE node_id = ${other.nodeId}`,
    );
    const write = store.database.write.bind(store.database);
    vi.spyOn(store.database, 'write').mockImplementationOnce(async (work) => {
      nowMs += 5_000_000;
      return write(work);
    });
    nowMs += 100_000;
    expect(await beat()).toEqual([other.nodeId, nodeId]);
  });
});
