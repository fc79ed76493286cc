import { apis } from '@kafscale/codec';
import { describe, expect, it } from 'vitest';
import { Bucket, sweepsOnDemand } from './commit-rules/bucket.js';
import { Cluster } from './commit-rules/cluster.js';
import type { Reader } from './commit-rules/cluster.js';
import { batchOf } from './commit-rules/kafka-calls.js';
import { serversOfThisFile } from './support/postgres-and-s3.js';
import { noS3Server } from './support/stores.js';

/** What clients see of an index that is mostly in the bucket. */
const topic = 'events';
const rounds = 40;

const servers = serversOfThisFile();

const title = (text: string): string => (noS3Server === null ? text : `${text} (${noS3Server})`);

/** Two rows stay; three leave together, and two ranges become one. */
const cold = {
  extentsMin: 2,
  rangeExtents: 3,
  ageMs: 600_000,
  unmergedAgeMs: 600_000,
  fanIn: 2,
  startDelayMs: 0,
};

async function offsetOf(reader: Reader, timestamp: bigint): Promise<number> {
  const response = await reader.connection.call(apis.listOffsets, {
    replicaId: -1,
    topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }],
  });
  const answer = response.topics[0]!.partitions[0]!;
  expect(answer.errorCode).toBe(0);
  return Number(answer.offset);
}

async function liveRanges(cluster: Cluster): Promise<number> {
  const ranges = `SELECT count(*)::int AS found FROM cold_ranges WHERE state = 'live'`;
  return Number((await cluster.query(ranges))[0]!['found']);
}

async function eventually(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((go) => setTimeout(go, 10));
}

describe.skipIf(noS3Server !== null)(title('an index in the bucket'), () => {
  it('serves every record and every time, to readers that were there and to new ones, until it is deleted', async () => {
    const bucket = new Bucket(servers.s3);
    const times = { ...sweepsOnDemand, checkIntervalMs: 20, cold };
    const url = await servers.postgres.createDatabase();
    const cluster = await Cluster.start(url, {}, times, { objects: bucket.place() });
    await cluster.createTopic(topic, 1);
    const node = await cluster.addIngest();
    const client = node.connect();
    const producerId = await cluster.newProducerId();
    for (let sequence = 0; sequence < rounds; sequence += 1) {
      const records = batchOf({ producerId, sequence });
      expect(await client.produce({ topic, partition: 0, records })).toMatchObject([
        { errorCode: 0 },
      ]);
    }
    const early = await cluster.addReader();
    const texts = await early.texts(topic);
    expect(texts).toHaveLength(rounds);
    const firstTime = await offsetOf(early, 0n);
    const lastTime = await offsetOf(early, -3n);

    // A day passes, with a sweep that found nothing.
    await cluster.restartCoordinator(() =>
      cluster.query(`
        UPDATE segments SET birth_ms = birth_ms - 86400000,
          committed_at = committed_at - interval '1 day';
        UPDATE orphan_sweep SET watermark_ms = floor(extract(epoch FROM now()) * 1000) - 3600000`),
    );
    await eventually(async () => (await liveRanges(cluster)) > 0);
    const rows = 'SELECT count(*)::int AS found FROM extents';
    await eventually(async () => Number((await cluster.query(rows))[0]!['found']) < 5);

    const late = await cluster.addReader();
    for (const reader of [early, late]) {
      expect(await reader.texts(topic)).toEqual(texts);
      expect(await offsetOf(reader, 0n)).toBe(firstTime);
      expect(await offsetOf(reader, -3n)).toBe(lastTime);
    }
    // From the middle of what is cold, and then nothing at all.
    const cut = async (offset: number): Promise<void> => {
      const answer = await cluster.connection().call(apis.deleteRecords, {
        timeoutMs: 1000,
        topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset: BigInt(offset) }] }],
      });
      expect(answer.topics[0]!.partitions[0]!.errorCode).toBe(0);
    };
    await cut(17);
    expect(await offsetOf(late, -2n)).toBe(17);
    await eventually(async () => {
      const [row] = await cluster.query('SELECT size_bytes, log_start_offset FROM partitions');
      const below = await cluster.query(`
        SELECT FROM extents WHERE next_offset <= 17
        UNION ALL SELECT FROM cold_ranges WHERE state = 'live' AND first_next_offset <= 17`);
      return Number(row!['log_start_offset']) === 17 && below.length === 0;
    });
    await cut(-1);
    await eventually(async () => (await liveRanges(cluster)) === 0);
    await eventually(async () => Number((await cluster.query(rows))[0]!['found']) === 0);
    const [left] = await cluster.query('SELECT size_bytes::int AS bytes FROM partitions');
    expect(left).toEqual({ bytes: 0 });
  });
});
