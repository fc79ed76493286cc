import { limits } from '@kafscale/core';
import { describe, expect, it } from 'vitest';
import { OwnerProcess, plainBatch, query, Recorder, usePostgres } from './world.js';

const { database } = usePostgres();

describe('a commit', () => {
  it('is in the feed before its answer', async () => {
    const process = await OwnerProcess.start(await database());
    const partitionId = await process.createTopic('events');
    const seen: string[] = [];
    process.owner.subscribe(
      { commits: true },
      { onMessage: ({ kind }) => seen.push(kind), onClosed: () => {} },
    );
    await process.append(partitionId).then(() => seen.push('answer'));
    expect(seen).toEqual(['snapshot', 'events', 'answer']);
  });

  it('shares the next transaction with what comes while one runs, and each gets its own answers', async () => {
    const process = await OwnerProcess.start(await database());
    const partitionId = await process.createTopic('events');
    const segments = await Promise.all(
      [1, 2, 3, 4].map((records) => process.segment(partitionId, plainBatch(records))),
    );
    const answers = await Promise.all([
      process.owner.commit([segments[0]!]),
      ...[[segments[1]!, segments[2]!], [segments[3]!]].map(async (group) => {
        await new Promise((resolve) => setImmediate(resolve));
        return process.owner.commit(group);
      }),
    ]);
    expect(process.transactions).toEqual([1, 3]);
    const offsets = answers.map((group) =>
      group.map((answer) => (answer.kind === 'committed' ? answer.extents[0]![0]!.baseOffset : -1)),
    );
    expect(offsets).toEqual([[0], [1, 3], [6]]);
  });

  it('that fails for one fails for all that share its transaction, and none is written', async () => {
    const process = await OwnerProcess.start(await database());
    const partitionId = await process.createTopic('events');
    const good = await process.segment(partitionId, plainBatch());
    const bad = { ...(await process.segment(partitionId, plainBatch())), segmentId: 'nonsense' };
    const answers = await Promise.allSettled([
      process.owner.commit([good]),
      process.owner.commit([bad]),
    ]);
    for (const answer of answers) {
      expect(answer).toMatchObject({ reason: { code: 'COMMIT_INVALID', outcome: 'failed' } });
    }
    expect(process.doubts).toBe(0);
    expect(await process.append(partitionId)).toMatchObject([{ extents: [[{ baseOffset: 0 }]] }]);
  });

  it('of two busy nodes without a pause does not keep topics from being created', async () => {
    const process = await OwnerProcess.start(await database());
    const partitionId = await process.createTopic('events');
    const stop = new AbortController();
    const nodes = [1, 2].map(async () => {
      while (!stop.signal.aborted) await process.append(partitionId);
    });
    while (process.transactions.length < 5) await new Promise((resolve) => setTimeout(resolve, 1));
    const before = process.transactions.length;
    await process.createTopic('other');
    expect(process.transactions.length - before).toBeLessThan(20);
    await process.owner.idle();
    stop.abort();
    await Promise.all(nodes);
  });

  it('that finds the queue of writes full is refused, and the next one is not', async () => {
    const process = await OwnerProcess.start(await database());
    const partitionId = await process.createTopic('events');
    const segment = await process.segment(partitionId, plainBatch());
    const writes = Array.from({ length: limits.shardTasksQueuedMax }, () =>
      process.owner.delete('00000000-0000-4000-8000-000000000000').catch(() => {}),
    );
    process.owner.disown('so that they end at once');
    await expect(process.owner.commit([segment])).rejects.toMatchObject({
      code: 'SHARD_BUSY',
      retriable: true,
      outcome: 'failed',
    });
    await Promise.all(writes);
    await process.keeper.start();
    expect(await process.owner.commit([segment])).toMatchObject([{ kind: 'committed' }]);
  });
});

describe('the feed', () => {
  it('starts with a snapshot, numbers without gaps, and says what happened', async () => {
    const process = await OwnerProcess.start(await database());
    const partitionId = await process.createTopic('events');
    await process.append(partitionId);
    const all = new Recorder();
    process.owner.subscribe({ commits: true }, all);
    await process.append(partitionId);
    const other = await process.owner.create({
      name: 'other',
      partitionCount: 2,
      configs: new Map([['max.message.bytes', '1000']]),
    });
    await process.owner.delete(other.topicId);
    expect(all.kinds).toEqual(['snapshot', 'committed', 'topic', 'topicDeleted']);
    const [snapshot, commit, created] = all.messages;
    expect(snapshot).toMatchObject({
      topics: [{ name: 'events', partitions: [{ partitionId, highWatermark: 1 }] }],
    });
    expect(commit).toMatchObject({ events: [{ extents: [{ baseOffset: 1, nextOffset: 2 }] }] });
    expect(created).toMatchObject({ events: [{ topic: { settings: { messageBytesMax: 1000 } } }] });
    const { sequence } = snapshot!.position;
    expect(all.messages.map(({ position }) => position.sequence - sequence)).toEqual([0, 1, 2, 3]);
    expect(process.owner.feedPosition()).toEqual(all.last.position);
  });

  it('gives those who want topics only the positions of commits too', async () => {
    const process = await OwnerProcess.start(await database());
    const partitionId = await process.createTopic('events');
    const topicsOnly = new Recorder();
    process.owner.subscribe({ commits: false }, topicsOnly);
    await process.append(partitionId);
    expect(topicsOnly.kinds).toEqual(['snapshot', '']);
    expect(topicsOnly.last.position).toEqual(process.owner.feedPosition());
  });

  it('has nothing of a commit that wrote nothing', async () => {
    const process = await OwnerProcess.start(await database());
    const partitionId = await process.createTopic('events');
    const [topic] = process.owner.list();
    await process.owner.delete(topic!.topicId);
    const all = new Recorder();
    process.owner.subscribe({ commits: true }, all);
    const position = process.owner.feedPosition();
    expect(await process.append(partitionId)).toMatchObject([{ extents: [[{ errorCode: 3 }]] }]);
    expect(all.kinds).toEqual(['snapshot']);
    expect(process.owner.feedPosition()).toEqual(position);
  });

  it('goes on with a snapshot of a higher epoch after doubt, and closing still works', async () => {
    const process = await OwnerProcess.start(await database());
    const partitionId = await process.createTopic('events');
    const [kept, closed] = [new Recorder(), new Recorder()];
    process.owner.subscribe({ commits: true }, kept);
    const subscription = process.owner.subscribe({ commits: true }, closed);
    const { leaseEpoch } = process.owner.feedPosition();
    await process.keeper.start(); // a renewal
    process.keeper.doubt();
    while (process.owner.lease!.epoch === leaseEpoch) await new Promise((go) => setTimeout(go, 1));
    subscription.close();
    await process.append(partitionId);
    expect(kept.kinds).toEqual(['snapshot', 'snapshot', 'committed']);
    expect(kept.messages[1]!.position).toEqual({ leaseEpoch: leaseEpoch + 1, sequence: 0 });
    expect(closed.kinds).toEqual(['snapshot', 'snapshot']);
    expect(kept.closed).toEqual([]);
  });
});

describe('doubt', () => {
  it('answers nothing from memory and writes nothing until the lease is acquired again', async () => {
    const process = await OwnerProcess.start(await database());
    const partitionId = await process.createTopic('events');
    process.ignoreDoubt();
    const reader = new Recorder();
    process.owner.subscribe({ commits: true }, reader);
    const segment = await process.segment(partitionId, plainBatch(3));
    const trusted = process.owner.lease!;
    process.answersToLose = 1;
    await expect(process.owner.commit([segment])).rejects.toMatchObject({ outcome: 'unknown' });
    expect(process.doubts).toBe(1);
    // It was written, and memory does not know.
    expect(await query(process.url, 'SELECT next_offset::int FROM partitions')).toMatchObject([
      { next_offset: 3 },
    ]);
    const refused = { code: 'SHARD_NOT_OWNED', retriable: true, outcome: 'failed' };
    const expectRefusal = async (): Promise<void> => {
      expect(process.owner.holds()).toBe(false);
      expect(() => process.owner.feedPosition()).toThrow(expect.objectContaining(refused));
      expect(() => process.owner.list()).toThrow(expect.objectContaining(refused));
      expect(() => process.owner.subscribe({ commits: true }, reader)).toThrow();
      await expect(process.append(partitionId)).rejects.toMatchObject(refused);
      await expect(process.createTopic('other')).rejects.toMatchObject(refused);
    };
    await expectRefusal();
    // A renewal that was under way must not restore trust.
    process.owner.renewed({ ...trusted, deadlineMs: process.clock.monotonicMs() + 60_000 });
    await expectRefusal();
    expect(reader.kinds).toEqual(['snapshot']);

    process.keeper.doubt();
    while (!process.owner.holds()) await new Promise((go) => setTimeout(go, 1));
    expect(process.owner.lease!.epoch).toBe(trusted.epoch + 1);
    expect(reader.kinds).toEqual(['snapshot', 'snapshot']);
    expect(reader.last).toMatchObject({ topics: [{ partitions: [{ highWatermark: 3 }] }] });
    expect(await process.owner.commit([segment])).toMatchObject([
      { kind: 'committed', extents: [[{ baseOffset: 0 }]] },
    ]);
    expect(await process.append(partitionId)).toMatchObject([{ extents: [[{ baseOffset: 3 }]] }]);
    expect(reader.last).toMatchObject({ events: [{ extents: [{ baseOffset: 3 }] }] });
  });
});

describe('topics', () => {
  it('are created once, found by name and id, and gone when deleted', async () => {
    const process = await OwnerProcess.start(await database());
    const topic = {
      name: 'a.b',
      partitionCount: 3,
      configs: new Map([['cleanup.policy', 'delete']]),
    };
    const created = await process.owner.create(topic);
    expect(created.partitions.map(({ partitionIndex }) => partitionIndex)).toEqual([0, 1, 2]);
    expect(process.owner.byName('a.b')).toEqual(created);
    expect(process.owner.byId(created.topicId)).toEqual(created);
    expect(process.owner.configsOf(created.topicId)).toEqual(topic.configs);
    await expect(process.owner.create(topic)).rejects.toMatchObject({
      code: 'TOPIC_ALREADY_EXISTS',
    });
    await expect(process.owner.create({ ...topic, name: 'a_b' })).rejects.toMatchObject({
      code: 'TOPIC_NAME_COLLISION',
    });
    expect(process.doubts).toBe(0);
    await process.owner.delete(created.topicId);
    expect(process.owner.byName('a.b')).toBeUndefined();
    expect(process.owner.configsOf(created.topicId).size).toBe(0);
    await expect(process.owner.delete(created.topicId)).rejects.toMatchObject({
      code: 'TOPIC_UNKNOWN',
    });
    const again = await process.owner.create(topic);
    expect(again.topicId).not.toBe(created.topicId);
    const ids = [created, again].flatMap((one) => one.partitions.map((head) => head.partitionId));
    expect(new Set(ids).size).toBe(6);
  });
});
