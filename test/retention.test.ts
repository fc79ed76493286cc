import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { apis, encodePlainBatch } from '@kafscale/codec';
import type { CoordinatorService, Extent } from '@kafscale/cluster';
import type { BackgroundTimes } from '@kafscale/coordinator';
import type { TestPostgres } from '@kafscale/testing';
import { startTestPostgres } from '@kafscale/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from './commit-rules/cluster.js';
import type { IngestNode, Reader } from './commit-rules/cluster.js';
import type { KafkaConnection } from './commit-rules/kafka-calls.js';

/** What a client sees of retention, DeleteRecords and config changes; what the store sees of them. */
let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());

const outOfRange = 1;
const unknownTopic = 3;
const invalidConfig = 40;
const invalidRequest = 42;
const topic = 'events';
const topicResource = 2;
const brokerResource = 4;

interface World {
  readonly cluster: Cluster;
  readonly node: IngestNode;
  readonly reader: Reader;
  readonly admin: KafkaConnection;
}

async function world(
  times: BackgroundTimes = { checkIntervalMs: 50 },
  partitions = 1,
): Promise<World> {
  const cluster = await Cluster.start(await postgres.createDatabase(), {}, times);
  await cluster.createTopic(topic, partitions);
  const [node, reader] = await Promise.all([cluster.addIngest(), cluster.addReader()]);
  return { cluster, node, reader, admin: cluster.connection() };
}

/** One batch of `count` records in a segment of its own. */
async function append(
  { node }: World,
  { ageMs = 0, count = 1, partition = 0 } = {},
): Promise<number> {
  const records = encodePlainBatch({
    producerId: -1,
    producerEpoch: -1,
    baseSequence: -1,
    records: Array.from({ length: count }, () => ({
      timestampMs: Date.now() - ageMs,
      value: Buffer.alloc(100, 'v'),
    })),
  });
  const offset = await node.connect().append(topic, records, partition);
  if (typeof offset !== 'number' || offset < 0) throw new Error(`not written: ${offset}`);
  return offset;
}

async function fetchAt(reader: Reader, offset: number, name = topic) {
  const response = await reader.connection.call(
    apis.fetch,
    {
      maxWaitMs: 0,
      minBytes: 0,
      topics: [
        {
          topic: name,
          partitions: [{ partition: 0, fetchOffset: BigInt(offset), partitionMaxBytes: 1_000_000 }],
        },
      ],
    },
    12, // by names
  );
  const answer = response.responses[0]!.partitions[0]!;
  return {
    errorCode: answer.errorCode,
    logStart: Number(answer.logStartOffset),
    end: Number(answer.highWatermark),
    bytes: answer.records?.length ?? 0,
    baseOffset: answer.records?.length ? Number(answer.records.readBigInt64BE(0)) : null,
  };
}

async function deleteRecords(
  { admin }: World,
  offset: number,
  { name = topic, partition = 0 } = {},
) {
  const answer = await admin.call(apis.deleteRecords, {
    timeoutMs: 1000,
    topics: [{ name, partitions: [{ partitionIndex: partition, offset: BigInt(offset) }] }],
  });
  const { errorCode, lowWatermark } = answer.topics[0]!.partitions[0]!;
  return { errorCode, lowWatermark: Number(lowWatermark) };
}

/** Sets (or, with null, resets) single configs of the topic. */
async function alter({ admin }: World, configs: Readonly<Record<string, string | null>>) {
  const answer = await admin.call(apis.incrementalAlterConfigs, {
    resources: [
      {
        resourceType: topicResource,
        resourceName: topic,
        configs: Object.entries(configs).map(([name, value]) => ({
          name,
          value,
          configOperation: value === null ? 1 : 0,
        })),
      },
    ],
    validateOnly: false,
  });
  return answer.responses[0]!;
}

async function described({ admin }: World): Promise<Record<string, string | null>> {
  const answer = await admin.call(apis.describeConfigs, {
    resources: [{ resourceType: topicResource, resourceName: topic, configurationKeys: null }],
    includeSynonyms: false,
    includeDocumentation: false,
  });
  const { configs } = answer.results[0]!;
  return Object.fromEntries(configs.map(({ name, value }) => [name, value]));
}

function objectCount(cluster: Cluster): number {
  const folder = join(cluster.folder.root, 'v1/segments');
  if (!existsSync(folder)) return 0;
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith('.seg')).length;
}

async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('DeleteRecords', () => {
  it('within a batch: readers get the batch, and nothing below the offset is asked for any more', async () => {
    const w = await world();
    await append(w, { count: 10 });
    await append(w, { count: 10 });
    expect(await deleteRecords(w, 13)).toEqual({ errorCode: 0, lowWatermark: 13 });
    expect(await fetchAt(w.reader, 12)).toMatchObject({ errorCode: outOfRange, bytes: 0 });
    expect(await fetchAt(w.reader, 13)).toMatchObject({
      errorCode: 0,
      logStart: 13,
      end: 20,
      baseOffset: 10,
    });
    await eventually(async () => {
      const [row] = await w.cluster.query('SELECT count(*)::int AS rows FROM extents');
      return row!['rows'] === 1;
    });
    expect(await fetchAt(w.reader, 13)).toMatchObject({ errorCode: 0, baseOffset: 10 });
    const listed = await w.reader.connection.call(apis.listOffsets, {
      replicaId: -1,
      isolationLevel: 0,
      topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp: -2n }] }],
    });
    expect(listed.topics[0]!.partitions[0]).toMatchObject({ errorCode: 0, offset: 13n });
  });

  it('by −1 deletes up to the high watermark, and the log goes on there', async () => {
    const w = await world();
    await append(w, { count: 10 });
    expect(await deleteRecords(w, -1)).toEqual({ errorCode: 0, lowWatermark: 10 });
    expect(await fetchAt(w.reader, 9)).toMatchObject({ errorCode: outOfRange });
    expect(await fetchAt(w.reader, 10)).toMatchObject({ errorCode: 0, logStart: 10, end: 10 });
    expect(await append(w)).toBe(10);
    expect(await fetchAt(w.reader, 10)).toMatchObject({ errorCode: 0, baseOffset: 10 });
  });

  it('of what is deleted already succeeds; beyond the end, or of nothing, does not', async () => {
    const w = await world();
    await append(w, { count: 10 });
    expect(await deleteRecords(w, 5)).toEqual({ errorCode: 0, lowWatermark: 5 });
    expect(await deleteRecords(w, 2)).toEqual({ errorCode: 0, lowWatermark: 5 });
    const refused = (errorCode: number) => ({ errorCode, lowWatermark: -1 });
    expect(await deleteRecords(w, 11)).toEqual(refused(outOfRange));
    expect(await deleteRecords(w, -2)).toEqual(refused(outOfRange));
    expect(await deleteRecords(w, 0, { partition: 1 })).toEqual(refused(unknownTopic));
    expect(await deleteRecords(w, 0, { partition: -1 })).toEqual(refused(unknownTopic));
    expect(await deleteRecords(w, 0, { name: 'other' })).toEqual(refused(unknownTopic));
    expect(await fetchAt(w.reader, 5)).toMatchObject({ errorCode: 0, logStart: 5 });
  });
});

describe('the configs of a topic', () => {
  it('are set one by one, put back one by one, and replaced as a whole', async () => {
    const w = await world();
    const before = await described(w);
    expect(before).toMatchObject({ 'retention.ms': '604800000', 'retention.bytes': '-1' });
    expect(await alter(w, { 'retention.ms': '1000', 'retention.bytes': '5' })).toMatchObject({
      errorCode: 0,
    });
    expect(await described(w)).toMatchObject({ 'retention.ms': '1000', 'retention.bytes': '5' });
    expect(await alter(w, { 'retention.ms': null })).toMatchObject({ errorCode: 0 });
    expect(await described(w)).toMatchObject({ 'retention.bytes': '5' });
    expect((await described(w))['retention.ms']).toBe('604800000');
    const replace = (configs: { name: string; value: string | null }[]) =>
      w.admin.call(apis.alterConfigs, {
        resources: [{ resourceType: topicResource, resourceName: topic, configs }],
        validateOnly: false,
      });
    const replaced = await replace([{ name: 'retention.ms', value: '-1' }]);
    expect(replaced.responses[0]).toMatchObject({ errorCode: 0, resourceName: topic });
    expect(await described(w)).toEqual({ ...before, 'retention.ms': '-1' });
    expect((await replace([{ name: 'retention.ms', value: null }])).responses[0]).toMatchObject({
      errorCode: invalidRequest,
    });
    // The data path obeys at once.
    await alter(w, { 'max.message.bytes': '50' });
    await expect(append(w)).rejects.toThrow('not written: -10');
  });

  it('are refused, and nothing of the request is done, as Kafka refuses them', async () => {
    const w = await world();
    const before = await described(w);
    const refusals: [Record<string, string | null>, number][] = [
      [{ 'retention.ms': '-2' }, invalidConfig],
      [{ 'retention.ms': 'soon' }, invalidConfig],
      [{ 'retention.bytes': '10', 'no.such.config': '1' }, invalidConfig],
      [{ 'cleanup.policy': 'compact' }, invalidConfig],
    ];
    for (const [configs, errorCode] of refusals) {
      expect((await alter(w, configs)).errorCode).toBe(errorCode);
    }
    const changes = [
      [{ name: 'retention.ms', configOperation: 2, value: '1' }, invalidConfig],
      [{ name: 'cleanup.policy', configOperation: 2, value: 'compact' }, invalidConfig],
      [{ name: 'cleanup.policy', configOperation: 3, value: 'delete' }, invalidConfig],
      [{ name: 'cleanup.policy', configOperation: 2, value: 'delete' }, 0],
      [{ name: 'retention.ms', configOperation: 0, value: null }, invalidRequest],
      [{ name: 'retention.ms', configOperation: 9, value: '1' }, invalidRequest],
    ] as const;
    for (const [change, errorCode] of changes) {
      const answer = await w.admin.call(apis.incrementalAlterConfigs, {
        resources: [{ resourceType: topicResource, resourceName: topic, configs: [change] }],
        validateOnly: false,
      });
      expect([change, answer.responses[0]!.errorCode]).toEqual([change, errorCode]);
    }
    expect(await described(w)).toEqual(before);
  });

  it('are only tried out when the request says so; other resources have errors of their own', async () => {
    const w = await world();
    const setting = { name: 'retention.ms', configOperation: 0, value: '1' };
    const request = (resourceType: number, resourceName: string) => ({
      resourceType,
      resourceName,
      configs: [setting],
    });
    const tried = await w.admin.call(apis.incrementalAlterConfigs, {
      resources: [request(topicResource, topic)],
      validateOnly: true,
    });
    expect(tried.responses[0]!.errorCode).toBe(0);
    expect((await described(w))['retention.ms']).toBe('604800000');
    const answer = await w.admin.call(apis.incrementalAlterConfigs, {
      resources: [
        request(topicResource, 'other'),
        request(brokerResource, ''),
        request(brokerResource, '77'),
        request(8, '1'),
        request(topicResource, topic),
        request(topicResource, topic),
      ],
      validateOnly: false,
    });
    expect(answer.responses.map(({ errorCode }) => errorCode)).toEqual([
      unknownTopic,
      ...Array.from({ length: 5 }, () => invalidRequest),
    ]);
    expect(answer.responses[1]!.errorMessage).toContain('Cannot update these configs dynamically');
    expect((await described(w))['retention.ms']).toBe('604800000');
  });
});

describe('retention', () => {
  it('moves the log start and frees the space, also after a restart', async () => {
    const w = await world({ checkIntervalMs: 50, garbageWaitMs: 0, pauseMs: 0 });
    await append(w, { ageMs: 3_600_000, count: 5 });
    await append(w, { count: 5 });
    expect(objectCount(w.cluster)).toBe(2);
    await alter(w, { 'retention.ms': '60000' });
    await eventually(async () => (await fetchAt(w.reader, 5)).logStart === 5);
    expect(await fetchAt(w.reader, 0)).toMatchObject({ errorCode: outOfRange });
    expect(await fetchAt(w.reader, 5)).toMatchObject({ errorCode: 0, baseOffset: 5, end: 10 });
    // Its answer is kept for as long as the commit may be repeated, and its object as long.
    await w.cluster.restartCoordinator(() => w.cluster.ageSegments());
    await eventually(() => objectCount(w.cluster) === 1);
    expect(await fetchAt(w.reader, 5)).toMatchObject({ errorCode: 0, baseOffset: 5, logStart: 5 });
  });

  it('by size, and a deleted topic, free their space too', async () => {
    const w = await world({ checkIntervalMs: 20, garbageWaitMs: 0, pauseMs: 0 });
    for (let count = 0; count < 4; count += 1) await append(w);
    await alter(w, { 'retention.bytes': '300' });
    await eventually(async () => (await fetchAt(w.reader, 3)).logStart > 0);
    expect(await fetchAt(w.reader, 3)).toMatchObject({ errorCode: 0, end: 4 });
    await w.cluster.ageSegments();
    await eventually(() => objectCount(w.cluster) < 4);
    await w.cluster.deleteTopic(topic);
    // The rows go after the objects.
    await eventually(async () => {
      const [row] = await w.cluster.query('SELECT count(*)::int AS rows FROM segments');
      return row!['rows'] === 0;
    });
    expect(objectCount(w.cluster)).toBe(0);
  });

  it('while it races with readers, they get their records or OFFSET_OUT_OF_RANGE, nothing else', async () => {
    const w = await world();
    const total = 60;
    for (let count = 0; count < total; count += 1) await append(w);
    const readers = [await w.cluster.addReader(), w.reader, await w.cluster.addReader()];
    const seen = new Set<number>();
    let deletedTo = 0;
    let furthest = 0;
    const readOne = async (reader: Reader, offset: number) => {
      const knownBefore = deletedTo;
      const answer = await fetchAt(reader, offset);
      seen.add(answer.errorCode);
      if (answer.errorCode === 0) {
        // An answered deletion is never read below.
        expect(offset).toBeGreaterThanOrEqual(knownBefore);
        expect(answer.baseOffset).toBe(offset);
      }
      return answer;
    };
    const reading = readers.map(async (reader) => {
      for (let offset = 0; offset < total;) {
        const { errorCode, logStart } = await readOne(reader, offset);
        offset = Math.max(offset + 1, errorCode === outOfRange ? logStart : 0);
        furthest = Math.max(furthest, offset);
      }
    });
    // Right behind the first of them, and before the others.
    for (let offset = 2; offset <= total; offset += 2) {
      await eventually(() => furthest >= offset - 1);
      await deleteRecords(w, offset);
      deletedTo = offset;
    }
    await Promise.all(reading);
    for (const reader of readers) await readOne(reader, total - 1);
    expect(seen).toEqual(new Set([0, outOfRange]));
  });

  it('a reader that looked a row up too late is told that it is out of range, not that it is lost', async () => {
    const w = await world({ checkIntervalMs: 3_600_000 });
    await append(w, { count: 5 });
    await append(w, { count: 5 });
    let onLookup = async (): Promise<void> => {};
    const coordinator = lookingUp(w.cluster, async (find) => {
      await onLookup();
      return find();
    });
    // It has come after the records, so it must look them up; its feed stands still meanwhile.
    const late = await w.cluster.addReader({ coordinator });
    onLookup = async () => {
      late.feed.hold();
      await deleteRecords(w, 5);
      await eventually(async () => {
        const [row] = await w.cluster.query('SELECT count(*)::int AS rows FROM extents');
        return row!['rows'] === 1;
      });
      setTimeout(() => late.feed.deliver(), 20);
    };
    expect(await fetchAt(late, 0)).toMatchObject({ errorCode: outOfRange, logStart: 5 });
  });
});

it('a fetch that is under way when its object becomes garbage is not broken within the wait', async () => {
  const w = await world({ checkIntervalMs: 20, garbageWaitMs: 3_600_000 });
  await append(w, { count: 5 });
  const coordinator = lookingUp(w.cluster, async (find) => {
    const rows = await find();
    await deleteRecords(w, -1);
    await eventually(async () => {
      const [row] = await w.cluster.query(
        'SELECT count(*)::int AS marked FROM segments WHERE marked_at IS NOT NULL',
      );
      return row!['marked'] === 1;
    });
    return rows;
  });
  const late = await w.cluster.addReader({ coordinator });
  expect(await fetchAt(late, 0)).toMatchObject({ errorCode: 0, baseOffset: 0, end: 5 });
  expect(await fetchAt(late, 0)).toMatchObject({ errorCode: outOfRange, logStart: 5 });
});

/** The coordinator, with something that happens around each look into the index. */
function lookingUp(
  { slot }: Cluster,
  around: (find: () => Promise<readonly Extent[]>) => Promise<readonly Extent[]>,
): CoordinatorService {
  const findExtents: CoordinatorService['findExtents'] = (...wish) =>
    around(() => slot.findExtents(...wish));
  return Object.create(slot, { findExtents: { value: findExtents } }) as CoordinatorService;
}
