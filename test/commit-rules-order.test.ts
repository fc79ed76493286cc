import type { TestPostgres } from '@kafscale/testing';
import { startTestPostgres } from '@kafscale/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from './commit-rules/cleanup.js';
import { Cluster } from './commit-rules/cluster.js';
import type { IngestNode, Reader } from './commit-rules/cluster.js';
import { batchOf, briefly } from './commit-rules/kafka-calls.js';

/** Producers' sequences and the segments they travel in: design §4, promise P3. */
let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());

const topic = 'events';

interface World {
  readonly cluster: Cluster;
  readonly node: IngestNode;
  readonly reader: Reader;
  readonly producerId: number;
}

async function world(): Promise<World> {
  const cluster = await Cluster.start(await postgres.createDatabase());
  await cluster.createTopic(topic);
  const producerId = await cluster.newProducerId();
  const [node, reader] = await Promise.all([cluster.addIngest(), cluster.addReader()]);
  return { cluster, node, reader, producerId };
}

describe("a new producer's first two batches in two segments", () => {
  it('on one node keep their order although the second is stored while the first waits', async () => {
    const { node, reader, producerId } = await world();
    const client = node.connect();
    node.commits.hold();
    const first = client.append(topic, batchOf({ producerId, sequence: 0 }));
    await until(() => node.commits.heldCalls === 1);
    const second = client.append(topic, batchOf({ producerId, sequence: 1 }));
    await until(() => node.uploaded === 2);
    node.commits.release();
    expect(await Promise.all([first, second])).toEqual([0, 1]);
    expect(await reader.texts(topic)).toEqual([`${producerId}/0/0`, `${producerId}/0/1`]);
  });

  it('on two nodes, the second committing first: it gets 45, and the retry order works', async () => {
    const { cluster, node, reader, producerId } = await world();
    const other = await cluster.addIngest();
    node.commits.hold();
    const first = node.connect().append(topic, batchOf({ producerId, sequence: 0, count: 2 }));
    await until(() => node.commits.heldCalls === 1);
    const early = other.connect();
    expect(await early.append(topic, batchOf({ producerId, sequence: 2 }))).toBe(-45);
    expect(await reader.texts(topic)).toEqual([]);
    node.commits.release();
    expect(await first).toBe(0);
    expect(await early.append(topic, batchOf({ producerId, sequence: 2 }))).toBe(2);
    expect(await reader.texts(topic)).toEqual([0, 1, 2].map((n) => `${producerId}/0/${n}`));
  });

  it('a first batch that was lost with its node is not shut out by its successor', async () => {
    const { cluster, node, reader, producerId } = await world();
    const other = await cluster.addIngest();
    node.commits.loseCalls(1_000);
    const lost = node.connect().append(topic, batchOf({ producerId, sequence: 0 }));
    await until(() => node.commits.calls.length > 0);
    const client = other.connect();
    const outcomes = [
      await client.append(topic, batchOf({ producerId, sequence: 1 })),
      await client.append(topic, batchOf({ producerId, sequence: 0 })),
      await client.append(topic, batchOf({ producerId, sequence: 1 })),
    ];
    expect(outcomes).toEqual([-45, 0, 1]);
    node.clock.shiftMs += 31_000; // it gives up, and closes its client's connection (P4)
    expect(await lost).toBe('lost');
    expect(await reader.texts(topic)).toEqual([`${producerId}/0/0`, `${producerId}/0/1`]);
  });
});

describe('a segment whose upload fails for good, with later segments behind it', () => {
  /** Segment 0 is held at its commit; the upload of segment 1 fails; 2 and 3 are stored. */
  async function losing({ cluster, node, producerId }: World) {
    const other = await cluster.newProducerId();
    const client = node.connect();
    const unrelated = node.connect();
    node.commits.hold();
    const sent = [client.append(topic, batchOf({ producerId, sequence: 0 }))];
    await until(() => node.commits.heldCalls === 1);
    node.storePath.break();
    sent.push(client.append(topic, batchOf({ producerId, sequence: 1 })));
    await until(() => node.uploadsFailed === 1);
    node.storePath.heal();
    sent.push(client.append(topic, batchOf({ producerId, sequence: 2 })));
    const otherSent = unrelated.append(topic, batchOf({ producerId: other, sequence: 0 }));
    await until(() => node.uploaded === 2);
    sent.push(client.append(topic, batchOf({ producerId, sequence: 3 })));
    await until(() => node.uploaded === 3);
    return { client, other, otherSent, sent };
  }

  it('takes with it what the same producer has behind it, and nothing else', async () => {
    const w = await world();
    const { client, other, otherSent, sent } = await losing(w);
    w.node.commits.release();
    expect(await Promise.all(sent)).toEqual([0, -56, -56, -56]);
    expect(await otherSent).toBe(1);
    expect(await w.reader.texts(topic)).toEqual([`${w.producerId}/0/0`, `${other}/0/0`]);
    const retried = [1, 2, 3].map((sequence) =>
      client.append(topic, batchOf({ producerId: w.producerId, sequence })),
    );
    expect(await Promise.all(retried)).toEqual([2, 3, 4]);
  });

  it('also where the partition may lack the state of the producer: nothing is shut out', async () => {
    const w = await world();
    // A topic made anew takes any first sequence of producers from before.
    await w.cluster.deleteTopic(topic);
    await w.cluster.createTopic(topic);
    const { client, node, producerId } = { ...w, client: w.node.connect() };
    const hold = await w.cluster.newProducerId();
    node.commits.hold();
    const before = node.connect().append(topic, batchOf({ producerId: hold, sequence: 0 }));
    await until(() => node.commits.heldCalls === 1);
    node.storePath.break();
    const first = client.append(topic, batchOf({ producerId, sequence: 7 }));
    await until(() => node.uploadsFailed === 1);
    node.storePath.heal();
    const second = client.append(topic, batchOf({ producerId, sequence: 8 }));
    await until(() => node.uploaded === 2);
    node.commits.release();
    expect(await Promise.all([before, first, second])).toEqual([0, -56, -56]);
    expect(await client.append(topic, batchOf({ producerId, sequence: 7 }))).toBe(1);
    expect(await client.append(topic, batchOf({ producerId, sequence: 8 }))).toBe(2);
    const texts = await w.reader.texts(topic);
    expect(texts.slice(1)).toEqual([`${producerId}/0/7`, `${producerId}/0/8`]);
  });

  it('and what was on the wire when it was answered, on the same connection', async () => {
    const w = await world();
    await w.cluster.deleteTopic(topic);
    await w.cluster.createTopic(topic); // takes any first sequence
    const { node, producerId } = w;
    const client = node.connect();
    const append = (sequence: number, epoch = 0) =>
      client.append(topic, batchOf({ producerId, sequence, epoch }));
    node.storePath.break();
    expect(await append(7)).toBe(-56);
    node.storePath.heal();
    // Sent before the client heard of it: nobody can tell by the time at which they arrive.
    expect([await append(8), await append(9)]).toEqual([-56, -56]);
    expect(await w.reader.texts(topic)).toEqual([]);
    expect([await append(7), await append(8), await append(9)]).toEqual([0, 1, 2]);
    node.storePath.break();
    expect(await append(10)).toBe(-56);
    node.storePath.heal();
    // A producer that gave the batch up begins a new epoch; another connection retries from the first.
    expect(await append(0, 1)).toBe(3);
    expect(await append(1, 1)).toBe(4);
    expect(await w.reader.texts(topic)).toHaveLength(5);
  });

  it('a retry that arrives while the lost segments settle is not lost with them', async () => {
    const w = await world();
    const { client, sent } = await losing(w);
    const retries: Promise<number | 'lost'>[] = [];
    void sent[1]!.then(() => {
      for (const sequence of [1, 2, 3]) {
        retries.push(client.append(topic, batchOf({ producerId: w.producerId, sequence })));
      }
    });
    w.node.commits.release();
    await Promise.all(sent);
    await until(() => retries.length === 3);
    expect(await Promise.all(retries)).toEqual([
      expect.any(Number),
      expect.any(Number),
      expect.any(Number),
    ]);
    const own = (await w.reader.texts(topic)).filter((text) => text.startsWith(`${w.producerId}/`));
    expect(own).toEqual([0, 1, 2, 3].map((n) => `${w.producerId}/0/${n}`));
  });
});

describe('a batch that was sent before', () => {
  it('twice in one request is written once, and both get its offset', async () => {
    const { node, reader, producerId } = await world();
    const records = batchOf({ producerId, sequence: 0, count: 3 });
    const outcomes = await node.connect().produce({ topic, records }, { topic, records });
    expect(outcomes.map(briefly)).toEqual([0, 0]);
    expect(node.sealed).toBe(1);
    expect(await reader.texts(topic)).toHaveLength(3);
  });

  it('in another segment, on another node, and after restarts gets the original offset', async () => {
    const { cluster, node, reader, producerId } = await world();
    const batches = [0, 1, 2, 3, 4].map((n) => batchOf({ producerId, sequence: n * 2, count: 2 }));
    const client = node.connect();
    for (const [index, records] of batches.entries()) {
      expect(await client.append(topic, records)).toBe(index * 2);
    }
    const again = async (service: IngestNode): Promise<(number | 'lost')[]> => {
      const connection = service.connect();
      return Promise.all(batches.map((records) => connection.append(topic, records)));
    };
    expect(await again(node)).toEqual([0, 2, 4, 6, 8]);
    expect(await again(await cluster.addIngest())).toEqual([0, 2, 4, 6, 8]);
    await cluster.restartCoordinator();
    await node.close();
    expect(await again(await cluster.addIngest())).toEqual([0, 2, 4, 6, 8]);
    expect(await reader.texts(topic)).toHaveLength(10);
  });

  it('in segments of two nodes at the same moment is written once, and both get its offsets', async () => {
    const { cluster, node, reader, producerId } = await world();
    const other = await cluster.addIngest();
    const batches = [0, 1, 2].map((n) => batchOf({ producerId, sequence: n * 2, count: 2 }));
    // Both have theirs stored before either is committed; they may share a transaction.
    const sent = [node, other].map((each) => {
      each.commits.hold();
      return each.connect().produce(...batches.map((records) => ({ topic, records })));
    });
    await until(() => node.commits.heldCalls === 1 && other.commits.heldCalls === 1);
    node.commits.release();
    other.commits.release();
    const outcomes = await Promise.all(sent);
    for (const each of outcomes) expect(each.map(briefly)).toEqual([0, 2, 4]);
    expect(await reader.texts(topic)).toEqual(
      Array.from({ length: 6 }, (_, n) => `${producerId}/0/${n}`),
    );
    expect(await cluster.query('SELECT live_extents FROM segments ORDER BY 1')).toMatchObject([
      { live_extents: 0 },
      { live_extents: 1 },
    ]);
  });

  it('a segment of duplicates alone adds nothing, and its own repetition finds its answer', async () => {
    const { cluster, node, reader, producerId } = await world();
    const client = node.connect();
    const records = batchOf({ producerId, sequence: 0 });
    await client.append(topic, records);
    node.commits.loseAnswers(1);
    expect(await client.append(topic, records)).toBe(0);
    expect(node.commits.calls).toHaveLength(3);
    expect(node.commits.calls[1]).toEqual(node.commits.calls[2]);
    expect(await cluster.query('SELECT live_extents FROM segments ORDER BY 1')).toMatchObject([
      { live_extents: 0 },
      { live_extents: 1 },
    ]);
    expect(await reader.texts(topic)).toHaveLength(1);
  });

  it('in part: what is new behind duplicates in one segment is appended', async () => {
    const { node, reader, producerId } = await world();
    const client = node.connect();
    await client.append(topic, batchOf({ producerId, sequence: 0 }));
    await client.append(topic, batchOf({ producerId, sequence: 1 }));
    const outcomes = await client.produce(
      ...[0, 1, 2, 3].map((sequence) => ({ topic, records: batchOf({ producerId, sequence }) })),
    );
    expect(outcomes.map(briefly)).toEqual([0, 1, 2, 3]);
    expect(node.sealed).toBe(3);
    expect(await reader.texts(topic)).toEqual([0, 1, 2, 3].map((n) => `${producerId}/0/${n}`));
  });

  it('that overlaps what was written without being the same is out of order', async () => {
    const { node, reader, producerId } = await world();
    const client = node.connect();
    await client.append(topic, batchOf({ producerId, sequence: 0, count: 2 }));
    expect(await client.append(topic, batchOf({ producerId, sequence: 0, count: 3 }))).toBe(-45);
    expect(await client.append(topic, batchOf({ producerId, sequence: 1, count: 2 }))).toBe(-45);
    expect(await reader.texts(topic)).toHaveLength(2);
  });

  it('more than 5 batches ago is out of order, as in Kafka', async () => {
    const { node, producerId } = await world();
    const client = node.connect();
    for (let sequence = 0; sequence < 6; sequence += 1) {
      await client.append(topic, batchOf({ producerId, sequence }));
    }
    expect(await client.append(topic, batchOf({ producerId, sequence: 1 }))).toBe(1);
    expect(await client.append(topic, batchOf({ producerId, sequence: 0 }))).toBe(-45);
  });
});

describe('sequences', () => {
  it('a gap is 45, for it and all behind it, and the missing batch closes it', async () => {
    const { node, reader, producerId } = await world();
    const client = node.connect();
    await client.append(topic, batchOf({ producerId, sequence: 0 }));
    const behind = [2, 3].map((sequence) =>
      client.append(topic, batchOf({ producerId, sequence })),
    );
    expect(await Promise.all(behind)).toEqual([-45, -45]);
    const closed = [1, 2, 3].map((sequence) =>
      client.append(topic, batchOf({ producerId, sequence })),
    );
    expect(await Promise.all(closed)).toEqual([1, 2, 3]);
    expect(await reader.texts(topic)).toHaveLength(4);
  });

  it('go from 2^31 − 1 to 0, also within a batch, and duplicates there are found', async () => {
    const { cluster, node, reader, producerId } = await world();
    await cluster.deleteTopic(topic);
    await cluster.createTopic(topic); // takes any first sequence of a producer from before
    const client = node.connect();
    const max = 2 ** 31 - 1;
    const straddling = batchOf({ producerId, sequence: max - 1, count: 4 });
    expect(await client.append(topic, straddling)).toBe(0);
    expect(await client.append(topic, batchOf({ producerId, sequence: 2 }))).toBe(4);
    expect(await client.append(topic, straddling)).toBe(0);
    const second = await cluster.newProducerId();
    await cluster.deleteTopic(topic);
    await cluster.createTopic(topic);
    const last = batchOf({ producerId: second, sequence: max });
    expect(await client.append(topic, last)).toBe(0);
    expect(await client.append(topic, batchOf({ producerId: second, sequence: 1 }))).toBe(-45);
    expect(await client.append(topic, batchOf({ producerId: second, sequence: 0 }))).toBe(1);
    expect(await client.append(topic, last)).toBe(0);
    expect(await reader.texts(topic)).toEqual([`${second}/0/${max}`, `${second}/0/0`]);
  });

  it('begin at 0 with a new epoch, also in the middle of a segment; the old epoch is fenced', async () => {
    const { node, reader, producerId } = await world();
    const client = node.connect();
    await client.append(topic, batchOf({ producerId, sequence: 0 }));
    const outcomes = await client.produce(
      { topic, records: batchOf({ producerId, sequence: 1 }) },
      { topic, records: batchOf({ producerId, epoch: 1, sequence: 3 }) },
      { topic, records: batchOf({ producerId, epoch: 1, sequence: 0 }) },
      { topic, records: batchOf({ producerId, sequence: 2 }) },
      { topic, records: batchOf({ producerId, sequence: 1 }) },
      { topic, records: batchOf({ producerId, epoch: 1, sequence: 1 }) },
    );
    expect(outcomes.map(briefly)).toEqual([1, -45, 2, -47, -47, 3]);
    expect(node.sealed).toBe(2);
    const texts = ['0/0', '0/1', '1/0', '1/1'].map((end) => `${producerId}/${end}`);
    expect(await reader.texts(topic)).toEqual(texts);
  });

  it('of one producer are counted per partition', async () => {
    const { cluster, node, producerId } = await world();
    await cluster.createTopic('wide', 2);
    const client = node.connect();
    const outcomes = await client.produce(
      { topic: 'wide', partition: 0, records: batchOf({ producerId, sequence: 0 }) },
      { topic: 'wide', partition: 1, records: batchOf({ producerId, sequence: 0, count: 2 }) },
      { topic: 'wide', partition: 1, records: batchOf({ producerId, sequence: 2 }) },
      { topic: 'wide', partition: 0, records: batchOf({ producerId, sequence: 2 }) },
    );
    expect(outcomes.map(briefly)).toEqual([0, 0, 2, -45]);
  });
});

describe('five requests in flight', () => {
  it('ride in five segments and come back in order', async () => {
    const { node, reader, producerId } = await world();
    const client = node.connect();
    const sent: Promise<number | 'lost'>[] = [];
    for (let sequence = 0; sequence < 5; sequence += 1) {
      sent.push(client.append(topic, batchOf({ producerId, sequence })));
      await until(() => node.sealed > sequence);
    }
    expect(await Promise.all(sent)).toEqual([0, 1, 2, 3, 4]);
    expect(node.sealed).toBe(5);
    expect(await reader.texts(topic)).toEqual([0, 1, 2, 3, 4].map((n) => `${producerId}/0/${n}`));
  });
});
