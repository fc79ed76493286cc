import { connect as connectSocket, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';

import { sleep } from '@kafscale/core';
import { afterEach, describe, expect, it } from 'vitest';

import { batchOf, CommitFixture, flat, idempotentBatch } from './support/commits.js';
import { useTestDatabases } from './support/test-databases.js';

const databases = useTestDatabases();
const proxies: CuttingProxy[] = [];

afterEach(async () => {
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
});

/**
 * Passes bytes between a store and PostgreSQL, and cuts one connection around its COMMIT: `before`
 * the server gets it, or `after`, when the server has answered and the answer is not passed on.
 */
class CuttingProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #cut: 'never' | 'before' | 'after' = 'never';
  #statement = '';

  private constructor(target: URL) {
    this.#server = createServer((client) => {
      const upstream = connectSocket(Number(target.port), target.hostname);
      this.#sockets.add(client).add(upstream);
      let committing = false;
      client.on('data', (bytes) => {
        committing = this.#cut !== 'never' && bytes.includes(this.#statement);
        if (committing && this.#cut === 'before') return this.#cutOnce(client, upstream);
        upstream.write(bytes);
        return undefined;
      });
      upstream.on('data', (bytes) => {
        // The command tag of a COMMIT that was done.
        if (committing && bytes.includes('COMMIT\0')) return this.#cutOnce(client, upstream);
        client.write(bytes);
        return undefined;
      });
      client.on('close', () => upstream.destroy()).on('error', () => {});
      upstream.on('close', () => client.destroy()).on('error', () => {});
    });
  }

  static async start(target: string): Promise<{ proxy: CuttingProxy; url: string }> {
    const url = new URL(target);
    const proxy = new CuttingProxy(new URL(target));
    proxies.push(proxy);
    await new Promise<void>((resolve) => {
      proxy.#server.listen(0, '127.0.0.1', resolve);
    });
    const address = proxy.#server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    url.host = `127.0.0.1:${address.port}`;
    return { proxy, url: url.href };
  }

  cutNextCommit(when: 'before' | 'after'): void {
    this.cutBefore('COMMIT');
    this.#cut = when;
  }

  cutBefore(statement: string): void {
    this.#cut = 'before';
    this.#statement = statement;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  #cutOnce(client: Socket, upstream: Socket): void {
    this.#cut = 'never';
    client.destroy();
    upstream.destroy();
  }
}

describe.each(['before', 'after'] as const)('a connection cut %s the COMMIT', (when) => {
  // The first commit of a connection prepares its statements one by one; later ones are pipelined.
  it.each([0, 1, 3])(
    'is outcome unknown after %i commits; the repetition leaves one copy',
    async (warm) => {
      const { proxy, url } = await CuttingProxy.start(await databases.createUrl());
      const f = await CommitFixture.create(await databases.openStore({ url, sessionsMax: 1 }));
      const p = f.partitionId();
      for (let index = 0; index < warm; index += 1) await f.append(p, idempotentBatch(1, index));
      const segment = f.segment([[p, idempotentBatch(1, warm), batchOf(10)]]);
      proxy.cutNextCommit(when);
      await expect(f.commit(segment)).rejects.toMatchObject({
        code: 'METADATA_UNAVAILABLE',
        outcome: 'unknown',
        retriable: true,
      });
      const { answers } = await f.store.commitSegments(f.lease, [segment]);
      expect(flat(answers[0])).toEqual([[warm, warm + 1]]);
      expect(await f.highWatermark()).toBe(warm + 11);
      expect(await f.store.findExtents(p, 0, 10)).toHaveLength(warm + 1);
      expect(await f.append(p, batchOf(1))).toEqual([warm + 11]);
    },
  );
});

describe('a connection cut between the writes of a commit', () => {
  // They wait in the driver, because each is prepared first. What comes after the cut must not be
  // carried out on a new connection, where every statement would commit by itself.
  it.each([
    'UPDATE partitions',
    'INSERT INTO segments',
    'INSERT INTO extents',
    'INSERT INTO producers',
  ])('before %s leaves nothing behind', async (statement) => {
    const target = await databases.createUrl();
    const { proxy, url } = await CuttingProxy.start(target);
    const f = await CommitFixture.create(await databases.openStore({ url, sessionsMax: 1 }));
    const segment = f.segment([[f.partitionId(), idempotentBatch(1, 0)]]);
    proxy.cutBefore(statement);
    await expect(f.commit(segment)).rejects.toMatchObject({ code: 'METADATA_UNAVAILABLE' });
    const leftovers = await databases.query(
      target,
      `SELECT (SELECT count(*) FROM segments) + (SELECT count(*) FROM extents)
           + (SELECT count(*) FROM producers) + (SELECT sum(next_offset) FROM partitions) AS n`,
    );
    expect(leftovers[0]).toEqual({ n: '0' });
    expect(flat((await f.commit(segment))[0])).toEqual([[0]]);
    expect(await f.store.findExtents(f.partitionId(), 0, 10)).toHaveLength(1);
  });
});

describe('a backend that is terminated', () => {
  it('at any moment of a stream of commits leaves every batch once, in order', async () => {
    const url = await databases.createUrl();
    const f = await CommitFixture.create(await databases.openStore({ url }));
    const p = f.partitionId();
    const stop = new AbortController();
    const seen = { commits: 0, failures: 0 };
    const killer = (async () => {
      let kills = 0;
      while (!stop.signal.aborted) {
        const { commits } = seen;
        const rows = await databases.query(
          url,
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = 'kafscale'`,
        );
        kills += rows.length;
        // Not again before one was carried out: on a slow machine none ever would be.
        while (rows.length > 0 && seen.commits === commits && !stop.signal.aborted) await sleep(1);
        await sleep(20 * Math.random());
      }
      return kills;
    })();
    let sequence = 0;
    for (; sequence < 60 || seen.failures < 5; sequence += 1) {
      const segment = f.segment([[p, idempotentBatch(1, sequence), batchOf(1)]]);
      for (;;) {
        try {
          const [answer] = await f.commit(segment);
          expect(flat(answer)).toEqual([[sequence * 2, sequence * 2 + 1]]);
          seen.commits += 1;
          break;
        } catch (error) {
          expect(error).toMatchObject({ code: 'METADATA_UNAVAILABLE', retriable: true });
          seen.failures += 1;
        }
      }
    }
    stop.abort();
    expect(await killer).toBeGreaterThan(0);
    const rows = await databases.query(
      url,
      'SELECT base_offset::int, next_offset::int FROM extents ORDER BY base_offset',
    );
    expect(rows.map((row) => [row['base_offset'], row['next_offset']])).toEqual(
      Array.from({ length: sequence }, (_, index) => [index * 2, index * 2 + 2]),
    );
  });

  it('fails a commit certainly when it dies before the COMMIT was sent', async () => {
    const url = await databases.createUrl();
    const f = await CommitFixture.create(await databases.openStore({ url }));
    const holder = f.store.database.transaction(async ({ sql }) => {
      await sql`SELECT 1 FROM partitions FOR UPDATE`;
      const blocked = expect(
        f.commit(f.segment([[f.partitionId(), batchOf(1)]])),
      ).rejects.toMatchObject({ code: 'METADATA_UNAVAILABLE', outcome: 'failed' });
      const waiting = () =>
        databases.query(
          url,
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        );
      await expect.poll(async () => (await waiting()).length).toBeGreaterThan(0);
      await blocked;
    });
    await holder;
    expect(await f.highWatermark()).toBe(0);
  });
});
