import { errorCodes } from '@kafscale/codec';
import { OperatingError, systemClock } from '@kafscale/core';
import { describe, expect, it } from 'vitest';
import { LostSequences } from '../../src/produce/lost-sequences.js';
import { batch, nowMs, ProduceWorld, textsIn } from './produce-world.js';

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe('the order of a connection', () => {
  it('is kept when a request must wait for news of its topic; other connections do not wait', async () => {
    const world = new ProduceWorld();
    world.addTopic('known');
    let hearNews: () => void = () => {};
    world.barrier = async () => {
      await new Promise<void>((resolve) => {
        hearNews = resolve;
      });
      if (!world.topics.has('fresh')) world.addTopic('fresh');
    };
    const send = (text: string, topics: string[], connectionId = 'a') =>
      world.produce({
        connectionId,
        topics: Object.fromEntries(topics.map((topic) => [topic, [{ records: batch({ text }) }]])),
      });
    const waiting = send('1', ['fresh', 'known']);
    const behind = [send('2', ['known']), send('3', ['known'])];
    const [elsewhere] = await send('4', ['known'], 'b');
    expect(elsewhere!.baseOffset).toBe(0);
    expect(world.stored).toHaveLength(1);
    hearNews();
    expect((await waiting).map(({ baseOffset }) => baseOffset)).toEqual([0, 1]);
    const offsets = (await Promise.all(behind)).map(([answer]) => answer!.baseOffset);
    expect(offsets).toEqual([2, 3]);
  });

  it('goes on behind a request that was refused after its wait', async () => {
    const world = new ProduceWorld();
    world.addTopic('known');
    const refused = world.produce({ topics: { unknown: [{ records: batch() }] } });
    const taken = world.produce({ topics: { known: [{ records: batch() }] } });
    expect(await refused).toMatchObject([{ errorCode: 3 }]);
    expect(await taken).toMatchObject([{ errorCode: 0, baseOffset: 0 }]);
  });
});

describe('memory', () => {
  it('is bounded: what does not fit waits its turn, and nothing is lost or overtaken', async () => {
    const size = 1_000;
    const world = new ProduceWorld({ bytesInFlightMax: 3 * size });
    world.addTopic('a');
    world.holdCommits();
    const answers = Array.from({ length: 50 }, (_, index) =>
      world.produce({
        connectionId: `connection ${index % 3}`,
        topics: { a: [{ records: batch({ bytes: size }) }] },
      }),
    );
    await until(() => world.stored.length > 0);
    expect(world.budget.takenBytes).toBe(3 * size);
    world.releaseCommits();
    const offsets = (await Promise.all(answers)).map(([answer]) => {
      expect(answer!.errorCode).toBe(0);
      return answer!.baseOffset;
    });
    expect(new Set(offsets).size).toBe(50);
    for (const connection of [0, 1, 2]) {
      const own = offsets.filter((_, index) => index % 3 === connection);
      expect(own).toEqual(own.toSorted((left, right) => left - right));
    }
    expect(world.bytesInFlightSeen).toBeLessThanOrEqual(3 * size);
    expect(world.budget.takenBytes).toBe(0);
  });

  it('takes a request that is larger than all of it when nothing else is under way', async () => {
    const world = new ProduceWorld({ bytesInFlightMax: 500 });
    world.addTopic('a');
    const answers = await Promise.all(
      [1, 2].map(() => world.produce({ topics: { a: [{ records: batch({ bytes: 2_000 }) }] } })),
    );
    expect(answers.map(([answer]) => answer!.baseOffset)).toEqual([0, 1]);
    expect(world.budget.takenBytes).toBe(0);
  });

  it('of a request is the caller’s again once it has the reply, also with acks=0', async () => {
    const world = new ProduceWorld();
    world.addTopic('a');
    world.holdCommits();
    for (const text of ['one', 'two', 'three']) {
      await world.reply({ acks: 0, topics: { a: [{ records: batch({ text }) }] } });
    }
    world.releaseCommits();
    await until(() => world.budget.takenBytes === 0);
    expect(world.stored.flatMap(textsIn)).toEqual(['one', 'two', 'three']);
  });

  it('of a request is held while its client waits, and not behind its back', async () => {
    const world = new ProduceWorld();
    world.addTopic('a');
    let holders = 0;
    const memory = { retain: () => (holders += 1), release: () => (holders -= 1) };
    const topics = { a: [{ records: batch({ text: 'x' }) }] };
    world.holdCommits();
    // Its bytes are nobody's from its answer on, which comes at once: a large request of which little
    // is written would be memory without a bound.
    expect(await world.reply({ acks: 0, topics, memory })).toEqual({ kind: 'none' });
    expect(holders).toBe(0);
    const reply = world.reply({ topics, memory });
    expect(holders).toBe(1);
    world.releaseCommits();
    await reply;
    expect(holders).toBe(0);
    expect(world.stored.flatMap(textsIn)).toEqual(['x', 'x']);
  });
});

describe('an outcome that nobody knows', () => {
  it('closes the connection (P4); one that is known to have failed is retriable', async () => {
    let shiftMs = 0;
    const clock = { monotonicMs: () => systemClock.monotonicMs() + shiftMs, wallMs: () => nowMs };
    const world = new ProduceWorld({ clock });
    world.addTopic('a', {}, 2);
    world.failCommits = new OperatingError('LINK_LOST', 'lost', { outcome: 'unknown' });
    const topics = {
      a: [
        { index: 0, records: batch() },
        { index: 1, records: batch() },
      ],
    };
    const reply = world.reply({ topics });
    await until(() => world.stored.length === 1);
    shiftMs = 60_000;
    expect(await reply).toMatchObject({ kind: 'close' });
    world.failCommits = null;
    world.refuseCommits = true;
    const answers = await world.produce({ topics });
    expect(answers.map(({ errorCode }) => errorCode)).toEqual([56, 56]);
    expect(world.budget.takenBytes).toBe(0);
  });
});

describe('what is on the wire behind a lost batch', () => {
  const numbered = (baseSequence: number, producerEpoch = 0) => ({
    producerId: 7,
    producerEpoch,
    baseSequence,
  });

  it('is lost too, until the batch comes again, on the connection that it came by', async () => {
    const world = new ProduceWorld();
    world.addTopic('a');
    const send = (baseSequence: number, connectionId = 'a', producerEpoch = 0) =>
      world
        .produce({
          connectionId,
          topics: { a: [{ records: batch({ producerId: 7, producerEpoch, baseSequence }) }] },
        })
        .then(([answer]) => answer!.errorCode);
    world.refuseCommits = true;
    const { KAFKA_STORAGE_ERROR: lost, NONE: taken } = errorCodes;
    expect(await send(3)).toBe(lost);
    world.refuseCommits = false;
    expect([await send(4), await send(5)]).toEqual([lost, lost]);
    expect(await send(4, 'b')).toBe(taken);
    expect([await send(3), await send(4), await send(5)]).toEqual([taken, taken, taken]);
    world.refuseCommits = true;
    expect(await send(6)).toBe(lost);
    world.refuseCommits = false;
    expect([await send(0, 'a', 1), await send(1, 'a', 1)]).toEqual([taken, taken]);
  });

  it('is at most four batches: a producer that never repeats is not refused for ever', () => {
    const lost = new LostSequences();
    lost.add('a', 1, numbered(0));
    const answers = [1, 2, 3, 4, 5, 6].map((n) => lost.followsLoss('a', 1, numbered(n)));
    expect(answers).toEqual([true, true, true, true, false, false]);
    expect(lost.size).toBe(0);
  });

  it('counts from the first that was lost, and of other producers and partitions nothing', () => {
    const lost = new LostSequences();
    lost.add('a', 1, numbered(5));
    lost.add('a', 1, numbered(6));
    expect(lost.followsLoss('a', 1, { ...numbered(9), producerId: 8 })).toBe(false);
    expect(lost.followsLoss('a', 1, { ...numbered(9), producerId: -1 })).toBe(false);
    expect(lost.followsLoss('a', 2, numbered(9))).toBe(false);
    expect(lost.followsLoss('b', 1, numbered(9))).toBe(false);
    // Sent before it: a repetition that is under way already.
    expect(lost.followsLoss('a', 1, numbered(4))).toBe(false);
    expect(lost.followsLoss('a', 1, numbered(6))).toBe(true);
    expect(lost.followsLoss('a', 1, numbered(5))).toBe(false);
    expect(lost.size).toBe(0);
    lost.add('a', 1, { ...numbered(0), producerId: -1 });
    expect(lost.size).toBe(0);
    lost.add('a', 1, numbered(5));
    lost.add('a', 1, numbered(0, 1)); // a later epoch counts instead
    expect(lost.followsLoss('a', 1, numbered(1, 1))).toBe(true);
    expect(lost.followsLoss('a', 1, numbered(0, 1))).toBe(false);
  });

  it('counts from a repetition that is lost itself, and over the end of the numbers', () => {
    const lost = new LostSequences();
    lost.add('a', 1, numbered(1));
    lost.add('a', 1, numbered(2 ** 31 - 1));
    expect(lost.followsLoss('a', 1, numbered(1))).toBe(true);
    expect(lost.followsLoss('a', 1, numbered(2 ** 31 - 2))).toBe(false);
    expect(lost.followsLoss('a', 1, numbered(2 ** 31 - 1))).toBe(false);
    expect(lost.size).toBe(0);
  });

  it('is remembered of a bounded number of producers, the oldest forgotten first', () => {
    const lost = new LostSequences(2);
    for (const producerId of [1, 2, 3]) lost.add('a', 1, { ...numbered(0), producerId });
    expect(lost.size).toBe(2);
    expect(lost.followsLoss('a', 1, { ...numbered(1), producerId: 1 })).toBe(false);
    expect(lost.followsLoss('a', 1, { ...numbered(1), producerId: 2 })).toBe(true);
  });
});
