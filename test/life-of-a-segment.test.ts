import * as codec from '@kafscale/codec';
import { apis, segmentKey } from '@kafscale/codec';
import type { CoordinatorService } from '@kafscale/cluster';
import type { BackgroundTimes, CompactionLimits } from '@kafscale/coordinator';
import { describe, expect, it } from 'vitest';
import { Bucket, collectOrphans, sweepsOnDemand } from './commit-rules/bucket.js';
import { Cluster } from './commit-rules/cluster.js';
import type { IngestNode, Reader } from './commit-rules/cluster.js';
import { batchOf } from './commit-rules/kafka-calls.js';
import type { KafkaConnection } from './commit-rules/kafka-calls.js';
import { serversOfThisFile } from './support/postgres-and-s3.js';
import { runCommand } from './support/run-command.js';
import type { CommandResult } from './support/run-command.js';
import { noS3Server } from './support/stores.js';

/** What clients see of segments while these are merged, trimmed, collected and lost, in a real bucket. */
const topic = 'events';
const outOfRange = 1;
const storageError = 56;

const servers = serversOfThisFile();

/** Whatever can be merged is. */
const eager: Partial<CompactionLimits> = {
  graceMs: 0,
  bytesMin: 1,
  rowsMin: 1,
  segmentsMin: 1,
  intervalMs: 20,
};
/** Garbage goes at once. */
const hasty: BackgroundTimes = { ...sweepsOnDemand, checkIntervalMs: 10, garbageWaitMs: 0 };

interface World {
  readonly bucket: Bucket;
  readonly cluster: Cluster;
  readonly node: IngestNode;
  readonly client: KafkaConnection;
}

async function world(
  options: {
    partitions?: number;
    times?: BackgroundTimes;
    compaction?: Partial<CompactionLimits>;
    indexIntervalMs?: number;
  } = {},
): Promise<World> {
  const { partitions = 1, times = sweepsOnDemand, ...parts } = options;
  const bucket = new Bucket(servers.s3);
  const cluster = await Cluster.start(await servers.postgres.createDatabase(), {}, times, {
    objects: bucket.place(),
    ...parts,
  });
  await cluster.createTopic(topic, partitions);
  const node = await cluster.addIngest();
  return { bucket, cluster, node, client: node.connect() };
}

async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((go) => setTimeout(go, 10));
}

async function count({ cluster }: World, what: string): Promise<number> {
  const [row] = await cluster.query(`SELECT count(*)::int AS found FROM ${what}`);
  return Number(row!['found']);
}

/** Until nothing is left to merge. */
async function untilMerged(w: World): Promise<void> {
  const fresh = 'segments WHERE live_extents > 0 AND NOT is_compacted';
  await eventually(async () => (await count(w, fresh)) === 0);
}

/** Until nothing is garbage any more, also of what is merged meanwhile. */
async function untilCollected(w: World): Promise<void> {
  await eventually(async () => {
    await w.cluster.ageSegments();
    return (await count(w, 'segments WHERE live_extents = 0')) === 0;
  });
}

async function objectsAreRows({ bucket, cluster }: World): Promise<boolean> {
  const rows = await cluster.query('SELECT segment_id::text AS id FROM segments ORDER BY 1');
  const ids = rows.map((row) => String(row['id']));
  return (await bucket.segmentIds()).join() === ids.join();
}

interface Fetched {
  readonly errorCode: number;
  readonly logStart: number;
  readonly end: number;
  readonly batches: readonly { readonly baseOffset: number; readonly nextOffset: number }[];
  readonly bytes: Buffer;
}

async function fetchAt(
  reader: Reader,
  offset: number,
  { partition = 0, bytesMax = 1_000_000 } = {},
): Promise<Fetched> {
  const response = await reader.connection.call(
    apis.fetch,
    {
      maxWaitMs: 0,
      minBytes: 0,
      topics: [
        {
          topic,
          partitions: [{ partition, fetchOffset: BigInt(offset), partitionMaxBytes: bytesMax }],
        },
      ],
    },
    12, // by names
  );
  const answer = response.responses[0]!.partitions[0]!;
  const bytes = answer.records ?? Buffer.alloc(0);
  const batches: { baseOffset: number; nextOffset: number }[] = [];
  codec.forEachBatch(bytes, (at) => {
    if (!codec.batchCrcMatches(bytes, at)) throw new Error('a fetched batch is corrupt');
    const { baseOffset, lastOffsetDelta } = codec.readBatchHeader(bytes, at);
    batches.push({ baseOffset, nextOffset: baseOffset + lastOffsetDelta + 1 });
  });
  const { errorCode, highWatermark, logStartOffset } = answer;
  return {
    errorCode,
    logStart: Number(logStartOffset),
    end: Number(highWatermark),
    batches,
    bytes,
  };
}

async function offsetOf(reader: Reader, timestamp: bigint): Promise<number> {
  const response = await reader.connection.call(apis.listOffsets, {
    replicaId: -1,
    topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }],
  });
  const answer = response.topics[0]!.partitions[0]!;
  expect(answer.errorCode).toBe(0);
  return Number(answer.offset);
}

async function deleteRecords({ cluster }: World, offset: number): Promise<void> {
  const answer = await cluster.connection().call(apis.deleteRecords, {
    timeoutMs: 1000,
    topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset: BigInt(offset) }] }],
  });
  expect(answer.topics[0]!.partitions[0]!.errorCode).toBe(0);
}

const title = (text: string): string => (noS3Server === null ? text : `${text} (${noS3Server})`);

describe.skipIf(noS3Server !== null)(title('readers'), () => {
  it(
    'that race with merging and with garbage collection get every record and no error',
    { timeout: 400_000 },
    async () => {
      const partitions = 3;
      const w = await world({ partitions, times: hasty, compaction: eager, indexIntervalMs: 50 });
      const rounds = 50;
      const expected = Array.from({ length: partitions }, (): string[] => []);
      const producers = await Promise.all(expected.map(() => w.cluster.newProducerId()));
      const written = new AbortController();
      const write = async (): Promise<void> => {
        for (let round = 0; round < rounds; round += 1) {
          const outcomes = await w.client.produce(
            ...producers.map((producerId, partition) => ({
              topic,
              partition,
              records: batchOf({ producerId, sequence: round }),
            })),
          );
          for (const [partition, outcome] of outcomes.entries()) {
            expect(outcome).toMatchObject({ errorCode: 0, baseOffset: round });
            expected[partition]!.push(`${producers[partition]}/0/${round}`);
          }
          if (round % 5 === 0) await w.cluster.ageSegments();
        }
        written.abort();
      };
      let reads = 0;
      const readTail = async (reader: Reader, partition: number): Promise<void> => {
        const known = [...expected[partition]!];
        const texts = await reader.texts(topic, partition);
        expect(texts.slice(0, known.length)).toEqual(known);
        reads += 1;
        // What is answered from memory takes no turn of the event loop, and others need one.
        await new Promise((go) => setImmediate(go));
      };
      // One keeps its index and its blocks; the others begin with none.
      const lasting = await w.cluster.addReader();
      const readAll = async (isLasting: boolean): Promise<void> => {
        while (!written.signal.aborted) {
          const reader = isLasting ? lasting : await w.cluster.addReader();
          for (let partition = 0; partition < partitions; partition += 1) {
            await readTail(reader, partition);
          }
          if (!isLasting) await reader.close();
        }
      };
      await Promise.all([write(), readAll(true), readAll(false)]);
      expect(reads).toBeGreaterThan(2 * partitions);
      await untilMerged(w);
      await w.cluster.restartCoordinator();
      await untilCollected(w);
      // How few depends on what each merge found.
      expect(await count(w, 'segments')).toBeLessThan(rounds);
      await eventually(() => objectsAreRows(w));
      for (const reader of [lasting, await w.cluster.addReader()]) {
        for (let partition = 0; partition < partitions; partition += 1) {
          expect(await reader.texts(topic, partition)).toEqual(expected[partition]);
        }
      }
    },
  );

  it('whose rows were merged, and the objects deleted, before they got to read them follow the index', async () => {
    const w = await world({ times: hasty });
    const producerId = await w.cluster.newProducerId();
    for (const sequence of [0, 1, 2, 3]) {
      await w.client.append(topic, batchOf({ producerId, sequence }));
    }
    const before = await w.bucket.segmentIds();
    let found = (): void => {};
    const isFound = new Promise<void>((go) => (found = go));
    let goOn = (): void => {};
    const mayGoOn = new Promise<void>((go) => (goOn = go));
    const { slot } = w.cluster;
    const findExtents: CoordinatorService['findExtents'] = async (...wish) => {
      const rows = await slot.findExtents(...wish);
      found();
      await mayGoOn;
      return rows;
    };
    const coordinator = Object.create(slot, { findExtents: { value: findExtents } }) as typeof slot;
    const reader = await w.cluster.addReader({ coordinator });
    const reading = fetchAt(reader, 0);
    await isFound;
    await w.cluster.startCompaction(eager);
    await untilMerged(w);
    await w.cluster.ageSegments();
    await eventually(async () => {
      const left = new Set(await w.bucket.segmentIds());
      return before.every((id) => !left.has(id));
    });
    goOn();
    const { batches, errorCode } = await reading;
    expect(errorCode).toBe(0);
    expect(batches[0]?.baseOffset).toBe(0);
    expect(await reader.texts(topic)).toEqual([0, 1, 2, 3].map((n) => `${producerId}/0/${n}`));
  });

  it('find the batch of any offset, before and after merging, behind refused batches too', async () => {
    const w = await world();
    const producerId = await w.cluster.newProducerId();
    const starts: number[] = [];
    let end = 0;
    for (const size of [7, 1, 3, 12, 2]) {
      const records = batchOf({ producerId, sequence: end, count: size });
      // Its repetition lies in the same extent, and is no part of the log.
      const sent = await w.client.produce({ topic, records }, { topic, records });
      expect(sent).toMatchObject([{ baseOffset: end }, { baseOffset: end }]);
      starts.push(end);
      end += size;
    }
    const expectBatches = async (): Promise<void> => {
      const reader = await w.cluster.addReader();
      for (let offset = 0; offset < end; offset += 1) {
        const { batches, errorCode } = await fetchAt(reader, offset, { bytesMax: 1 });
        expect(errorCode).toBe(0);
        const baseOffset = starts.findLast((start) => start <= offset)!;
        const nextOffset = starts.find((start) => start > offset) ?? end;
        expect(batches).toEqual([{ baseOffset, nextOffset }]);
      }
      expect(await fetchAt(reader, end)).toMatchObject({ errorCode: 0, end, batches: [] });
      expect(await fetchAt(reader, end + 1)).toMatchObject({ errorCode: outOfRange });
    };
    await expectBatches();
    await w.cluster.startCompaction(eager);
    await untilMerged(w);
    await expectBatches();
  });

  it('find the first record of a time among timestamps out of order, before and after merging', async () => {
    const w = await world();
    const now = Date.now() - 100_000;
    // Per segment and batch; a time may be there twice, and a later batch may be the older one.
    const times = [
      [[5_000, 1_000, 3_000], [9_000]],
      [[2_000, 2_000]],
      [
        [7_000, 400],
        [9_000, 8_000],
      ],
      [[100, 300, 200]],
      [[8_500, 12_000, 50]],
    ];
    for (const segment of times) {
      await w.client.produce(
        ...segment.map((batch) => ({
          topic,
          records: codec.encodePlainBatch({
            producerId: -1,
            producerEpoch: -1,
            baseSequence: -1,
            records: batch.map((ms) => ({ timestampMs: now + ms, value: Buffer.from('v') })),
          }),
        })),
      );
    }
    const flat = times.flat(2);
    const expectTimes = async (): Promise<void> => {
      const reader = await w.cluster.addReader();
      const interesting = flat.flatMap((time) => [time - 1, time, time + 1]);
      for (const time of [0, ...interesting, 20_000]) {
        const first = flat.findIndex((each) => each >= time);
        expect([time, await offsetOf(reader, BigInt(now + time))]).toEqual([time, first]);
      }
      expect(await offsetOf(reader, -3n)).toBe(flat.indexOf(12_000));
    };
    await expectTimes();
    await w.cluster.startCompaction(eager);
    await untilMerged(w);
    await expectTimes();
  });
});

describe.skipIf(noS3Server !== null)(title('retention at the edge of a segment'), () => {
  const times: BackgroundTimes = { ...sweepsOnDemand, checkIntervalMs: 20, garbageWaitMs: 0 };

  /** Three segments of ten records each. */
  async function threeSegments(partitions = 1): Promise<World> {
    const w = await world({ times, partitions });
    for (let segment = 0; segment < 3; segment += 1) {
      const records = batchOf({ producerId: -1, sequence: segment * 10, count: 10 });
      await w.client.produce(
        ...Array.from({ length: partitions }, (_, partition) => ({ topic, partition, records })),
      );
    }
    expect(await count(w, 'segments')).toBe(3);
    return w;
  }

  it.each([
    [9, 3],
    [10, 2],
    [11, 2],
    [19, 2],
    [20, 1],
    [30, 0],
  ])('at offset %i: %i segments stay, and not one record more or less', async (offset, left) => {
    const w = await threeSegments();
    const reader = await w.cluster.addReader();
    await deleteRecords(w, offset);
    await eventually(async () => (await count(w, 'extents')) === left);
    await w.cluster.ageSegments();
    await w.cluster.restartCoordinator();
    await eventually(async () => (await w.bucket.segmentIds()).length === left);
    await eventually(() => objectsAreRows(w));
    for (const each of [reader, await w.cluster.addReader()]) {
      expect(await offsetOf(each, -2n)).toBe(offset);
      expect(await fetchAt(each, offset - 1)).toMatchObject({ errorCode: outOfRange });
      const answer = await fetchAt(each, offset);
      expect(answer).toMatchObject({ errorCode: 0, logStart: offset, end: 30 });
      const first = offset - (offset % 10);
      expect(answer.batches[0]?.baseOffset).toBe(offset === 30 ? undefined : first);
      expect(answer.batches).toHaveLength(left);
    }
  });

  it('of one partition leaves the object to the others that lie in it', async () => {
    const w = await threeSegments(2);
    await deleteRecords(w, 20);
    await eventually(async () => (await count(w, 'extents')) === 4);
    await w.cluster.ageSegments();
    await w.cluster.restartCoordinator();
    await eventually(async () => (await count(w, 'segments WHERE marked_at IS NULL')) === 3);
    const reader = await w.cluster.addReader();
    expect(await reader.texts(topic, 1)).toHaveLength(30);
    expect(await w.bucket.segmentIds()).toHaveLength(3);
    await w.cluster.deleteTopic(topic);
    await eventually(async () => (await count(w, 'segments')) === 0);
    expect(await w.bucket.segmentIds()).toEqual([]);
  });

  it(
    'and a deleted topic race with merging: nothing is left behind, and nothing is missing',
    { timeout: 400_000 },
    async () => {
      const w = await world({ times: hasty, compaction: eager, partitions: 2 });
      await w.cluster.createTopic('bystander');
      const lasting: string[] = [];
      for (let round = 0; round < 4; round += 1) {
        let offset = 0;
        for (let segment = 0; segment < 12; segment += 1) {
          const text = lasting.length;
          await w.client.produce(
            ...[0, 1].map((partition) => ({
              topic,
              partition,
              records: batchOf({ producerId: -1, sequence: segment * 3, count: 3 }),
            })),
            { topic: 'bystander', records: batchOf({ producerId: -1, sequence: text }) },
          );
          lasting.push(`-1/0/${text}`);
          // Within a segment, at its edge, behind it: while it is being merged.
          if (segment > 1) await deleteRecords(w, (offset += 2));
        }
        await w.cluster.ageSegments();
        await w.cluster.deleteTopic(topic);
        if (round < 3) await w.cluster.createTopic(topic, 2);
      }
      await untilMerged(w);
      await w.cluster.restartCoordinator();
      await untilCollected(w);
      await collectOrphans(w.cluster, w.bucket);
      await eventually(() => objectsAreRows(w));
      expect(await count(w, '(SELECT DISTINCT partition_id FROM extents) AS p')).toBe(1);
      expect(await (await w.cluster.addReader()).texts('bystander')).toEqual(lasting);
    },
  );
});

describe.skipIf(noS3Server !== null)(title('an object that is lost'), () => {
  it(
    'is an error for its range alone, and fsck and explain name it',
    { timeout: 400_000 },
    async () => {
      const w = await world({ partitions: 2, indexIntervalMs: 20 });
      for (let segment = 0; segment < 3; segment += 1) {
        const records = batchOf({ producerId: -1, sequence: segment * 10, count: 10 });
        // The second partition has no part in the segment that will be lost.
        const partitions = segment === 1 ? [0] : [0, 1];
        await w.client.produce(...partitions.map((partition) => ({ topic, partition, records })));
      }
      const [row] = await w.cluster.query(
        'SELECT segment_id::text AS id FROM extents WHERE base_offset = 10 AND length > 0 ORDER BY partition_id LIMIT 1',
      );
      const key = segmentKey(String(row!['id']));
      const fsck = async (): Promise<{ code: number | null; report: unknown }> => {
        const { code, stdout } = await kafscale(w, ['fsck', '--json']);
        return { code, report: JSON.parse(stdout) };
      };
      const indexed = async (): Promise<boolean> => {
        for await (const _ of w.bucket.objects.list('v1/index/')) return true;
        return false;
      };
      await eventually(indexed);
      expect(await fsck()).toMatchObject({ code: 0, report: { isSound: true } });
      await w.bucket.objects.delete([key]);

      const reader = await w.cluster.addReader();
      for (const offset of [10, 15, 19]) {
        expect(await fetchAt(reader, offset)).toMatchObject({
          errorCode: storageError,
          batches: [],
        });
      }
      for (const offset of [0, 9, 20, 29]) {
        const { batches, errorCode } = await fetchAt(reader, offset);
        expect(errorCode).toBe(0);
        // What lies before the loss is served, and nothing is skipped.
        expect(batches).toEqual([
          { baseOffset: offset < 10 ? 0 : 20, nextOffset: offset < 10 ? 10 : 30 },
        ]);
      }
      expect(await reader.texts(topic, 1)).toHaveLength(20);
      expect(await offsetOf(reader, -2n)).toBe(0);
      expect(await offsetOf(reader, -1n)).toBe(30);
      // And the log goes on.
      expect(await w.client.append(topic, batchOf({ producerId: -1, sequence: 30 }))).toBe(30);
      expect(await fetchAt(reader, 30)).toMatchObject({
        errorCode: 0,
        batches: [{ baseOffset: 30 }],
      });

      const { code, report } = await fsck();
      expect(code).not.toBe(0);
      expect(report).toMatchObject({
        isSound: false,
        problems: {
          total: 1,
          items: [
            {
              kind: 'lost',
              key,
              ranges: [{ topic, partitionIndex: 0, baseOffset: 10, nextOffset: 20 }],
            },
          ],
        },
      });
      const explained = await kafscale(w, ['explain', topic, '0', '15']);
      expect(explained.stdout + explained.stderr).toContain(key);
      expect(explained.code).not.toBe(0);
    },
  );

  /** Not synchronous: the coordinator of this process has a lease to renew meanwhile. */
  function kafscale({ bucket, cluster }: World, args: readonly string[]): Promise<CommandResult> {
    return runCommand(args, { ...bucket.env(), KAFSCALE_METADATA_URL: cluster.databaseUrl });
  }
});
