import { InvariantError, OperatingError, systemClock } from '@kafscale/core';
import { describe, expect, test } from 'vitest';
import { FeedReplica } from '../src/index.js';
import type { FeedMessage, FeedPosition, FeedReplicaOptions } from '../src/index.js';
import { extentOf, ScriptedCoordinator, topicOf, uuidOf } from './scripted-coordinator.js';
import { cleanup, deferred, failureOf, logTo, some, turn, until } from './support.js';
import type { LogLine } from './support.js';

function replicaOf(
  coordinator: ScriptedCoordinator,
  options: Partial<FeedReplicaOptions> = {},
): { replica: FeedReplica; seen: FeedMessage[]; log: LogLine[] } {
  const seen: FeedMessage[] = [];
  const log: LogLine[] = [];
  const replica = new FeedReplica({
    coordinator,
    commits: true,
    clock: systemClock,
    log: logTo(log),
    backoffMsMin: 1,
    backoffMsMax: 4,
    ...options,
  });
  replica.onEvents((message) => seen.push(message));
  cleanup(() => replica.close());
  return { replica, seen, log };
}

describe('following the feed', () => {
  test('a snapshot, then every kind of event, in order', async () => {
    const coordinator = new ScriptedCoordinator();
    coordinator.topics = [topicOf(1, [{ partitionId: 10, highWatermark: 5 }])];
    const { replica, seen } = replicaOf(coordinator);
    expect(replica.topicByName('topic-1')).toBeUndefined();
    replica.start();
    await replica.ready(); // applied synchronously: this coordinator is in the process
    expect(replica.head(10)?.highWatermark).toBe(5);
    coordinator.publish([
      { kind: 'committed', extents: [extentOf(10, 5, 3)] },
      { kind: 'topic', topic: topicOf(2, [{ partitionId: 20 }, { partitionId: 21 }]) },
      { kind: 'logStart', partitionId: 10, logStartOffset: 6 },
      { kind: 'committed', extents: [extentOf(21, 0, 2), extentOf(10, 8, 1)] },
    ]);
    expect(replica.head(10)).toMatchObject({ highWatermark: 9, logStartOffset: 6 });
    expect(replica.head(21)).toMatchObject({ highWatermark: 2, partitionIndex: 1 });
    // What a topic shows of its partitions is as current as the heads.
    expect(replica.topicByName('topic-1')?.partitions[0]?.highWatermark).toBe(9);
    expect(replica.topicById(uuidOf(2))?.name).toBe('topic-2');
    coordinator.publish([{ kind: 'topicDeleted', topicId: uuidOf(1) }]);
    expect(replica.topicByName('topic-1')).toBeUndefined();
    expect(replica.topicById(uuidOf(1))).toBeUndefined();
    expect(replica.head(10)).toBeUndefined();
    expect([...replica.topics()].map(({ name }) => name)).toEqual(['topic-2']);
    expect(seen.map(({ kind }) => kind)).toEqual(['snapshot', 'events', 'events']);
    expect(replica.health()).toMatchObject({
      position: { leaseEpoch: 1, sequence: 2 },
      disconnectedForMs: null,
      topics: 1,
      partitions: 2,
    });
  });

  test('a topic created anew under a deleted name is another topic', () => {
    const coordinator = new ScriptedCoordinator();
    coordinator.topics = [topicOf(1, [{ partitionId: 10, highWatermark: 5 }])];
    const { replica } = replicaOf(coordinator);
    replica.start();
    const again = { ...topicOf(2, [{ partitionId: 11 }]), name: 'topic-1' };
    coordinator.publish([
      { kind: 'topicDeleted', topicId: uuidOf(1) },
      { kind: 'topic', topic: again },
    ]);
    expect(replica.topicByName('topic-1')?.topicId).toBe(uuidOf(2));
    expect(replica.head(11)?.highWatermark).toBe(0);
    expect(replica.head(10)).toBeUndefined();
  });

  test('a changed topic keeps its heads and may get more partitions', () => {
    const coordinator = new ScriptedCoordinator();
    coordinator.topics = [topicOf(1, [{ partitionId: 10 }])];
    const { replica } = replicaOf(coordinator);
    replica.start();
    coordinator.publish([{ kind: 'committed', extents: [extentOf(10, 0, 4)] }]);
    const grown = topicOf(1, [{ partitionId: 10, highWatermark: 4 }, { partitionId: 12 }]);
    coordinator.publish([{ kind: 'topic', topic: grown }]);
    coordinator.publish([{ kind: 'committed', extents: [extentOf(10, 4, 1), extentOf(12, 0, 1)] }]);
    expect(replica.head(10)?.highWatermark).toBe(5);
    expect(replica.head(12)?.highWatermark).toBe(1);
  });

  test('a hole or an overlap in the offsets is a bug (P6)', () => {
    const coordinator = new ScriptedCoordinator();
    coordinator.topics = [topicOf(1, [{ partitionId: 10, highWatermark: 5 }])];
    const { replica } = replicaOf(coordinator);
    replica.start();
    for (const baseOffset of [4, 6]) {
      expect(() =>
        coordinator.publish([{ kind: 'committed', extents: [extentOf(10, baseOffset, 1)] }]),
      ).toThrow(InvariantError);
      coordinator.position = { leaseEpoch: 1, sequence: 0 };
    }
  });

  test('without commits it follows topics and positions only', async () => {
    const coordinator = new ScriptedCoordinator();
    coordinator.topics = [topicOf(1, [{ partitionId: 10 }])];
    const { replica } = replicaOf(coordinator, { commits: false });
    replica.start();
    expect(coordinator.subscriptions[0]?.options).toEqual({ commits: false });
    coordinator.publish([]); // a commit, as such a subscriber sees it
    const changed = topicOf(1, [{ partitionId: 10, highWatermark: 40 }]);
    coordinator.publish([{ kind: 'topic', topic: changed }]);
    await replica.barrier();
    expect(replica.health().position).toEqual({ leaseEpoch: 1, sequence: 2 });
  });
});

describe('a feed that breaks', () => {
  test('cut: it subscribes again and replaces what it held by the snapshot', async () => {
    const coordinator = new ScriptedCoordinator();
    coordinator.topics = [topicOf(1, [{ partitionId: 10 }]), topicOf(2, [{ partitionId: 20 }])];
    const { replica, seen, log } = replicaOf(coordinator);
    replica.start();
    coordinator.cut();
    expect(replica.health().disconnectedForMs).not.toBeNull();
    expect(replica.topicByName('topic-1')).toBeDefined(); // stale, and the barrier knows
    coordinator.next([]);
    coordinator.topics = [topicOf(2, [{ partitionId: 20, highWatermark: 7 }])];
    await until(() => replica.health().disconnectedForMs === null);
    expect(replica.topicByName('topic-1')).toBeUndefined();
    expect(replica.head(20)?.highWatermark).toBe(7);
    expect(seen.map(({ kind }) => kind)).toEqual(['snapshot', 'snapshot']);
    expect(log).toHaveLength(1);
  });

  test('a gap, a replay and another epoch without a snapshot: it subscribes again', async () => {
    const odd: readonly FeedPosition[] = [
      { leaseEpoch: 1, sequence: 7 }, // gap
      { leaseEpoch: 1, sequence: 5 }, // replay
      { leaseEpoch: 1, sequence: 4 },
      { leaseEpoch: 2, sequence: 6 }, // a new owner, without a snapshot
      { leaseEpoch: 0, sequence: 6 },
    ];
    for (const position of odd) {
      const coordinator = new ScriptedCoordinator();
      coordinator.position = { leaseEpoch: 1, sequence: 5 };
      coordinator.topics = [topicOf(1, [{ partitionId: 10 }])];
      const { replica } = replicaOf(coordinator);
      replica.start();
      const extents = [extentOf(10, 0, 1)];
      coordinator.deliver({ kind: 'events', position, events: [{ kind: 'committed', extents }] });
      expect(replica.head(10)?.highWatermark).toBe(0); // not applied
      expect(coordinator.subscriptions[0]?.isClosed).toBe(true);
      await until(() => coordinator.subscriptions.length === 2);
      expect(replica.health().disconnectedForMs).toBeNull();
    }
  });

  test('what an ended subscription still says is ignored', async () => {
    const coordinator = new ScriptedCoordinator();
    coordinator.topics = [topicOf(1, [{ partitionId: 10 }])];
    const { replica } = replicaOf(coordinator);
    replica.start();
    const old = some(coordinator.subscriptions[0]);
    coordinator.cut();
    await until(() => coordinator.subscriptions.length === 2);
    const message = coordinator.next([{ kind: 'committed', extents: [extentOf(10, 0, 2)] }]);
    old.listener.onMessage(message);
    old.listener.onClosed('again');
    expect(replica.head(10)?.highWatermark).toBe(0);
    coordinator.deliver(message);
    expect(replica.head(10)?.highWatermark).toBe(2);
    expect(coordinator.subscriptions).toHaveLength(2);
  });

  test('a new owner sends a snapshot in the middle of the stream', () => {
    const coordinator = new ScriptedCoordinator();
    coordinator.position = { leaseEpoch: 1, sequence: 50 };
    coordinator.topics = [topicOf(1, [{ partitionId: 10 }])];
    const { replica } = replicaOf(coordinator);
    replica.start();
    coordinator.position = { leaseEpoch: 2, sequence: 0 };
    coordinator.deliver(coordinator.snapshot());
    coordinator.publish([{ kind: 'committed', extents: [extentOf(10, 0, 1)] }]);
    expect(replica.head(10)?.highWatermark).toBe(1);
    expect(coordinator.subscriptions).toHaveLength(1);
  });

  test('the snapshot of a deposed owner takes nothing back', async () => {
    const coordinator = new ScriptedCoordinator();
    coordinator.position = { leaseEpoch: 2, sequence: 3 };
    coordinator.topics = [topicOf(1, [{ partitionId: 10, highWatermark: 9 }])];
    const { replica } = replicaOf(coordinator);
    replica.start();
    coordinator.position = { leaseEpoch: 1, sequence: 80 };
    coordinator.topics = [topicOf(1, [{ partitionId: 10, highWatermark: 4 }])];
    coordinator.cut();
    await until(() => coordinator.subscriptions.length >= 3); // refused, and tried again
    expect(replica.head(10)?.highWatermark).toBe(9);
    expect(replica.health().disconnectedForMs).not.toBeNull();
    coordinator.position = { leaseEpoch: 3, sequence: 0 };
    coordinator.topics = [topicOf(1, [{ partitionId: 10, highWatermark: 12 }])];
    await until(() => replica.health().disconnectedForMs === null);
    expect(replica.head(10)?.highWatermark).toBe(12);
  });

  test('events before the first snapshot are refused', async () => {
    const coordinator = new ScriptedCoordinator();
    coordinator.holdsSnapshots = true;
    const { replica, seen } = replicaOf(coordinator);
    replica.start();
    coordinator.publish([]);
    expect(seen).toEqual([]);
    coordinator.holdsSnapshots = false;
    await replica.ready();
    expect(seen.map(({ kind }) => kind)).toEqual(['snapshot']);
  });

  test('after close nothing moves', async () => {
    const coordinator = new ScriptedCoordinator();
    const { replica, seen } = replicaOf(coordinator);
    replica.start();
    replica.close();
    expect(coordinator.live()).toHaveLength(0);
    some(coordinator.subscriptions[0]).listener.onMessage(coordinator.next([]));
    some(coordinator.subscriptions[0]).listener.onClosed('late');
    await turn();
    expect(seen).toHaveLength(1);
    expect(await failureOf(replica.barrier())).toMatchObject({ code: 'READ_INDEX_UNAVAILABLE' });
  });
});

describe('the barrier', () => {
  test('resolves at once when the position is applied already', async () => {
    const coordinator = new ScriptedCoordinator();
    const { replica } = replicaOf(coordinator);
    replica.start();
    await replica.barrier();
    expect(coordinator.feedPositionCalls).toBe(1);
  });

  test('waits for the message that the owner had numbered when it was asked', async () => {
    const coordinator = new ScriptedCoordinator();
    coordinator.topics = [topicOf(1, [{ partitionId: 10 }])];
    const { replica } = replicaOf(coordinator);
    replica.start();
    const first = coordinator.next([{ kind: 'committed', extents: [extentOf(10, 0, 1)] }]);
    let done = false;
    const barrier = replica.barrier().then(() => {
      done = true;
      return replica.head(10)?.highWatermark;
    });
    await turn();
    expect(done).toBe(false); // committed, but the feed is late
    coordinator.deliver(first);
    expect(await barrier).toBe(1);
  });

  test('is asked after the call, never before: callers meanwhile wait for the next', async () => {
    const coordinator = new ScriptedCoordinator();
    const { replica } = replicaOf(coordinator);
    replica.start();
    const answers = [deferred<FeedPosition>(), deferred<FeedPosition>()];
    coordinator.onFeedPosition = () => some(answers[coordinator.feedPositionCalls - 1]).promise;
    const settled: number[] = [];
    const call = async (which: number): Promise<void> => {
      await replica.barrier();
      settled.push(which);
    };
    const calls = [call(0), call(1), call(2), call(3)];
    await turn();
    expect(coordinator.feedPositionCalls).toBe(1);
    some(answers[0]).resolve({ leaseEpoch: 1, sequence: 0 });
    await turn();
    expect(settled).toEqual([0]); // the others came while the first question was on its way
    expect(coordinator.feedPositionCalls).toBe(2);
    some(answers[1]).resolve({ leaseEpoch: 1, sequence: 0 });
    await Promise.all(calls);
    expect(settled).toEqual([0, 1, 2, 3]);
    expect(coordinator.feedPositionCalls).toBe(2);
  });

  test('survives an owner that fails for a moment', async () => {
    const coordinator = new ScriptedCoordinator();
    const { replica } = replicaOf(coordinator);
    replica.start();
    coordinator.onFeedPosition = () =>
      coordinator.feedPositionCalls < 3
        ? Promise.reject(new OperatingError('NOT_OWNER', 'not now', { retriable: true }))
        : Promise.resolve(coordinator.position);
    await replica.barrier();
    expect(coordinator.feedPositionCalls).toBe(3);
  });

  test('gives up after a bounded time, with the reason', async () => {
    const coordinator = new ScriptedCoordinator();
    const { replica } = replicaOf(coordinator, { barrierMsMax: 30 });
    replica.start();
    coordinator.onFeedPosition = () =>
      Promise.reject(new OperatingError('LINK_DOWN', 'nobody there', { retriable: true }));
    const failure = await failureOf(replica.barrier());
    expect(failure).toMatchObject({ code: 'READ_INDEX_UNAVAILABLE', retriable: true });
    expect(failure.message).toContain('nobody there');
    const before = coordinator.feedPositionCalls;
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(coordinator.feedPositionCalls - before).toBeLessThanOrEqual(1); // nobody waits: no calls
    coordinator.onFeedPosition = () => Promise.resolve({ leaseEpoch: 9, sequence: 9 });
    const late = await failureOf(replica.barrier());
    expect(late.message).toContain('lags');
    expect(replica.health().barriersWaiting).toBe(0);
  });

  test('a reader that goes away is let go', async () => {
    const coordinator = new ScriptedCoordinator();
    const { replica } = replicaOf(coordinator);
    replica.start();
    coordinator.onFeedPosition = () => new Promise(() => {});
    const controller = new AbortController();
    const barrier = failureOf(replica.barrier(controller.signal));
    controller.abort();
    expect(await barrier).toMatchObject({ code: 'CANCELLED' });
    expect(replica.health().barriersWaiting).toBe(0);
  });

  test('is not fooled by a cut feed: it waits for the snapshot', async () => {
    const coordinator = new ScriptedCoordinator();
    coordinator.topics = [topicOf(1, [{ partitionId: 10 }])];
    const { replica } = replicaOf(coordinator);
    replica.start();
    coordinator.holdsSnapshots = true;
    coordinator.cut();
    coordinator.next([{ kind: 'committed', extents: [extentOf(10, 0, 3)] }]);
    coordinator.topics = [topicOf(1, [{ partitionId: 10, highWatermark: 3 }])];
    const seen = replica.barrier().then(() => replica.head(10)?.highWatermark);
    await until(() => coordinator.subscriptions.length === 2);
    coordinator.deliver(coordinator.snapshot());
    expect(await seen).toBe(3);
  });
});
