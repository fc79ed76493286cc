import { describe, expect, it } from 'vitest';
import { ClassicGroup } from '../../../src/groups/state/classic-group.js';
import { bytes, Harness } from './harness.js';

describe('SyncGroup', () => {
  it("passes on the leader's assignment untouched, also to those that wait", () => {
    const harness = new Harness();
    const joins = [harness.joinAtOnce(), harness.joinAtOnce()];
    harness.pass(6_000);
    const [leader, follower] = joins.map(({ answer }) => answer!);
    const waiting = harness.sync(follower!);
    expect(waiting.answer).toBeNull();
    const lead = harness.sync(leader!, {
      [leader!.memberId]: '\u0000any bytes',
      [follower!.memberId]: 'other bytes',
    });
    expect(lead.answer).toMatchObject({ errorCode: 0, assignment: bytes('\u0000any bytes') });
    expect(waiting.answer).toEqual({
      errorCode: 0,
      protocolType: 'consumer',
      protocolName: 'range',
      assignment: bytes('other bytes'),
    });
    expect(harness.group.state).toBe('Stable');
  });

  it('gives an empty assignment to a member that the leader left out', () => {
    const harness = new Harness();
    const joins = [harness.joinAtOnce(), harness.joinAtOnce()];
    harness.pass(6_000);
    const [leader, follower] = joins.map(({ answer }) => answer!);
    harness.sync(leader!, { [leader!.memberId]: 'all' });
    expect(harness.sync(follower!).answer).toMatchObject({ errorCode: 0, assignment: bytes('') });
  });

  it('answers nobody before the assignment is durable', () => {
    const harness = new Harness();
    harness.persistsAtOnce = false;
    const join = harness.joinAtOnce();
    harness.pass(3_000);
    const sync = harness.sync(join.answer!, { [join.answer!.memberId]: 'all' });
    expect(sync.answer).toBeNull();
    expect(harness.group.state).toBe('CompletingRebalance');
    expect(harness.persists[0]!.record).toMatchObject({
      groupId: 'group',
      generationId: 1,
      leaderId: join.answer!.memberId,
      members: [{ memberId: join.answer!.memberId, assignment: bytes('all') }],
    });
    harness.endPersist();
    expect(sync.answer).toMatchObject({ errorCode: 0, assignment: bytes('all') });
  });

  it('is written once: a leader that asks again waits for the first assignment', () => {
    const harness = new Harness();
    harness.persistsAtOnce = false;
    const join = harness.joinAtOnce();
    harness.pass(3_000);
    const { memberId } = join.answer!;
    const first = harness.sync({ memberId }, { [memberId]: 'first' });
    const second = harness.sync({ memberId }, { [memberId]: 'second' });
    expect(first.answer).toMatchObject({ errorCode: 27 });
    expect(harness.persists).toHaveLength(1);
    harness.endPersist();
    expect(second.answer).toMatchObject({ errorCode: 0, assignment: bytes('first') });
    expect(harness.group.describe().members[0]!.assignment).toEqual(bytes('first'));
  });

  it('fails and rebalances when the assignment could not be stored', () => {
    const harness = new Harness();
    harness.persistsAtOnce = false;
    const join = harness.joinAtOnce();
    harness.pass(3_000);
    const sync = harness.sync(join.answer!, { [join.answer!.memberId]: 'all' });
    harness.endPersist(15);
    expect(sync.answer).toMatchObject({ errorCode: 15, assignment: bytes('') });
    expect(harness.group.state).toBe('PreparingRebalance');
  });

  it('forgets an assignment whose generation ended while it was written', () => {
    const harness = new Harness();
    harness.persistsAtOnce = false;
    const join = harness.joinAtOnce();
    harness.pass(3_000);
    const sync = harness.sync(join.answer!, { [join.answer!.memberId]: 'all' });
    harness.joinAtOnce();
    expect(sync.answer).toMatchObject({ errorCode: 27 });
    harness.endPersist();
    expect(harness.group.state).toBe('PreparingRebalance');
  });

  it('forgets it also when the next generation waits for its own assignment', () => {
    const harness = new Harness();
    harness.persistsAtOnce = false;
    const first = harness.joinAtOnce();
    harness.pass(3_000);
    const { memberId } = first.answer!;
    harness.sync({ memberId }, { [memberId]: 'of generation 1' });
    const second = harness.joinAtOnce();
    const again = harness.join({ memberId });
    expect(second.answer).toMatchObject({ generationId: 2 });
    harness.endPersist();
    expect(harness.group.state).toBe('CompletingRebalance');
    const sync = harness.sync(again.answer!, { [memberId]: 'of generation 2' });
    harness.endPersist();
    expect(sync.answer!.assignment).toEqual(bytes('of generation 2'));
  });

  it('gives the cached assignment again in a stable group', () => {
    const harness = new Harness();
    const [leader] = harness.stable(1);
    const again = harness.sync(leader!, { [leader!.memberId]: 'something else' });
    expect(again.answer!.assignment).toEqual(bytes(`a-${leader!.memberId}`));
  });

  it('checks member, generation, protocol and state, in this order', () => {
    const harness = new Harness();
    const [leader, follower] = harness.stable(2);
    const wrong = { generationId: 7, protocolType: 'connect' };
    expect(harness.sync({ memberId: 'nobody' }, {}, wrong).answer!.errorCode).toBe(25);
    expect(harness.sync(leader!, {}, wrong).answer!.errorCode).toBe(22);
    expect(harness.sync(leader!, {}, { protocolType: 'connect' }).answer!.errorCode).toBe(23);
    expect(harness.sync(leader!, {}, { protocolName: 'roundrobin' }).answer!.errorCode).toBe(23);
    const right = { protocolType: 'consumer', protocolName: 'range' };
    expect(harness.sync(leader!, {}, right).answer!.errorCode).toBe(0);
    harness.join({ memberId: leader!.memberId });
    expect(harness.sync(follower!).answer!.errorCode).toBe(27);
  });

  it('refuses assignments that are too large together: UNKNOWN_SERVER_ERROR', () => {
    const harness = new Harness({ assignmentBytesMax: 10 });
    const join = harness.joinAtOnce();
    harness.pass(3_000);
    const sync = harness.sync(join.answer!, { [join.answer!.memberId]: '12345678901' });
    expect(sync.answer!.errorCode).toBe(-1);
  });

  it('removes members that joined and never sync, after the rebalance timeout', () => {
    const harness = new Harness();
    const joins = [harness.joinAtOnce(), harness.joinAtOnce()];
    harness.pass(6_000);
    const [leader, silent] = joins.map(({ answer }) => answer!);
    harness.sync(leader!, {});
    for (let waitedMs = 0; waitedMs < 55_000; waitedMs += 5_000) {
      expect(harness.heartbeat(leader!.memberId)).toBe(0);
      expect(harness.heartbeat(silent!.memberId)).toBe(0);
      harness.pass(5_000);
    }
    harness.heartbeat(leader!.memberId);
    harness.heartbeat(silent!.memberId);
    harness.pass(5_000);
    expect(harness.heartbeat(silent!.memberId)).toBe(25);
    expect(harness.heartbeat(leader!.memberId)).toBe(27);
  });
});

describe('Heartbeat', () => {
  it('is 0 while the group is stable or completes a rebalance, 27 while it prepares one', () => {
    const harness = new Harness();
    const join = harness.joinAtOnce();
    harness.pass(3_000);
    const { memberId } = join.answer!;
    expect(harness.heartbeat(memberId)).toBe(0);
    harness.syncAll([join.answer!]);
    expect(harness.heartbeat(memberId)).toBe(0);
    harness.joinAtOnce();
    expect(harness.heartbeat(memberId)).toBe(27);
  });

  it('knows strangers and old generations', () => {
    const harness = new Harness();
    const [leader] = harness.stable(1);
    expect(harness.heartbeat('nobody')).toBe(25);
    expect(harness.heartbeat(leader!.memberId, 0)).toBe(22);
    expect(harness.heartbeat(leader!.memberId, 2)).toBe(22);
  });

  it('keeps a member alive; without it the member goes and the others rebalance', () => {
    const harness = new Harness();
    const [leader, follower] = harness.stable(2);
    for (let beats = 0; beats < 10; beats += 1) {
      harness.pass(9_999);
      expect(harness.heartbeat(leader!.memberId)).toBe(0);
      expect(harness.heartbeat(follower!.memberId)).toBe(0);
    }
    harness.pass(5_000);
    harness.heartbeat(leader!.memberId);
    harness.pass(5_000);
    expect(harness.heartbeat(leader!.memberId)).toBe(27);
    expect(harness.heartbeat(follower!.memberId)).toBe(25);
  });
});

describe('LeaveGroup', () => {
  it('starts a rebalance at once', () => {
    const harness = new Harness();
    const [leader, follower] = harness.stable(2);
    expect(harness.leave({ memberId: leader!.memberId }).answer!.members[0]!.errorCode).toBe(0);
    expect(harness.heartbeat(follower!.memberId)).toBe(27);
    const again = harness.join({ memberId: follower!.memberId });
    expect(again.answer).toMatchObject({ generationId: 2, leaderId: follower!.memberId });
  });

  it('empties the group with the last member, and answers when that is durable', () => {
    const harness = new Harness();
    const [leader] = harness.stable(1);
    harness.persistsAtOnce = false;
    const left = harness.leave({ memberId: leader!.memberId });
    expect(left.answer).toBeNull();
    expect(harness.persists[0]!.record).toMatchObject({
      generationId: 2,
      protocolType: 'consumer',
      protocolName: null,
      leaderId: null,
      members: [],
    });
    harness.endPersist();
    expect(left.answer).toMatchObject({ errorCode: 0, members: [{ errorCode: 0 }] });
    expect(harness.group.state).toBe('Empty');
  });

  it('fails when that could not be stored', () => {
    const harness = new Harness();
    const [leader] = harness.stable(1);
    harness.persistsAtOnce = false;
    const left = harness.leave({ memberId: leader!.memberId });
    harness.endPersist(16);
    expect(left.answer).toEqual({ errorCode: 16, members: [] });
  });

  it('answers for every member on its own', () => {
    const harness = new Harness();
    const [leader, follower] = harness.stable(3);
    const left = harness.leave(
      { memberId: leader!.memberId },
      { memberId: 'nobody' },
      { memberId: follower!.memberId },
      { memberId: '' },
    );
    expect(left.answer!.members.map(({ errorCode }) => errorCode)).toEqual([0, 25, 0, 25]);
    expect(harness.group.memberCount).toBe(1);
  });

  it('takes a pending id back', () => {
    const harness = new Harness();
    const join = harness.join();
    const left = harness.leave({ memberId: join.answer!.memberId });
    expect(left.answer!.members[0]!.errorCode).toBe(0);
    expect(harness.group.isIdle).toBe(true);
  });

  it('ends requests of the member that still wait', () => {
    const harness = new Harness();
    const [leader, follower] = harness.stable(2);
    const waiting = harness.join({ memberId: leader!.memberId });
    harness.leave({ memberId: leader!.memberId });
    expect(waiting.answer).toMatchObject({ errorCode: 25 });
    const again = harness.join({ memberId: follower!.memberId });
    expect(again.answer).toMatchObject({ generationId: 2 });
    const sync = harness.sync(follower!, {}, { generationId: 2 });
    expect(sync.answer).toMatchObject({ errorCode: 0 });
  });

  it('lets the rebalance go on that waited for it', () => {
    const harness = new Harness();
    const [leader, follower] = harness.stable(2);
    const waiting = harness.join({ memberId: leader!.memberId });
    harness.leave({ memberId: follower!.memberId });
    expect(waiting.answer).toMatchObject({ errorCode: 0, generationId: 2 });
  });
});

describe('OffsetCommit', () => {
  it('is open to administrators and consumers without a group while the group is empty', () => {
    expect(new Harness().checkCommit('', -1)).toBe(0);
    const harness = new Harness();
    harness.stable(1);
    expect(harness.checkCommit('', -1)).toBe(25);
  });

  it('needs a member and its generation otherwise', () => {
    const harness = new Harness();
    const [leader] = harness.stable(1);
    expect(harness.checkCommit(leader!.memberId, 1)).toBe(0);
    expect(harness.checkCommit(leader!.memberId, 0)).toBe(22);
    expect(harness.checkCommit(leader!.memberId, -1)).toBe(22);
    expect(harness.checkCommit('nobody', 1)).toBe(25);
    expect(new Harness().checkCommit('nobody', 1)).toBe(25);
  });

  it('is accepted while a rebalance is prepared, not while it completes', () => {
    const harness = new Harness();
    const [leader, follower] = harness.stable(2);
    const joins = [harness.join({ memberId: leader!.memberId })];
    expect(harness.checkCommit(follower!.memberId, 1)).toBe(0);
    joins.push(harness.join({ memberId: follower!.memberId }));
    expect(harness.group.state).toBe('CompletingRebalance');
    expect(harness.checkCommit(follower!.memberId, 2)).toBe(27);
    expect(harness.checkCommit(follower!.memberId, 1)).toBe(22);
    harness.syncAll(joins.map(({ answer }) => answer!));
    expect(harness.checkCommit(follower!.memberId, 2)).toBe(0);
  });

  it('counts as a sign of life', () => {
    const harness = new Harness();
    const [leader] = harness.stable(1);
    for (let commits = 0; commits < 5; commits += 1) {
      harness.pass(9_000);
      expect(harness.checkCommit(leader!.memberId, 1)).toBe(0);
    }
    expect(harness.heartbeat(leader!.memberId)).toBe(0);
  });
});

describe('a group that is restored', () => {
  it('goes on with the same generation, leader, members and assignments', () => {
    const harness = new Harness();
    const [leader, follower] = harness.stable(2);
    const before = harness.group.describe();
    const stored = harness.group.toStored();
    harness.nowMs = 5;
    harness.group = ClassicGroup.restore(stored, harness.settings, harness.nowMs);
    expect(harness.group.describe()).toEqual(before);
    expect(harness.heartbeat(leader!.memberId, 1)).toBe(0);
    expect(harness.checkCommit(follower!.memberId, 1)).toBe(0);
    expect(harness.sync(follower!).answer!.assignment).toEqual(bytes(`a-${follower!.memberId}`));
    expect(harness.join({ memberId: follower!.memberId }).answer).toMatchObject({
      errorCode: 0,
      generationId: 1,
    });
    expect(harness.group.state).toBe('Stable');
  });

  it('starts the session timers anew', () => {
    const harness = new Harness();
    harness.stable(1);
    harness.group = ClassicGroup.restore(harness.group.toStored(), harness.settings, harness.nowMs);
    harness.pass(9_999);
    expect(harness.group.memberCount).toBe(1);
    harness.pass(1);
    expect(harness.group.memberCount).toBe(0);
  });
});

describe('a group that is unloaded', () => {
  it('tells everybody who waits, and answers nothing but that any more', () => {
    const harness = new Harness();
    const [leader] = harness.stable(2);
    const waiting = harness.join({ memberId: leader!.memberId });
    harness.unload(16);
    expect(waiting.answer).toMatchObject({ errorCode: 16 });
    expect(harness.heartbeat(leader!.memberId)).toBe(15);
    expect(harness.join().answer!.errorCode).toBe(15);
    expect(harness.sync(leader!).answer!.errorCode).toBe(15);
    expect(harness.leave({ memberId: leader!.memberId }).answer!.errorCode).toBe(15);
    expect(harness.checkCommit(leader!.memberId, 1)).toBe(15);
    expect(harness.group.wakeAtMs).toBe(Infinity);
  });
});

describe('a description', () => {
  it('shows subscriptions and the protocol of a stable group only', () => {
    const harness = new Harness();
    const [leader] = harness.stable(1);
    const described = harness.group.describe();
    expect(described).toMatchObject({
      state: 'Stable',
      protocolType: 'consumer',
      protocolName: 'range',
      members: [
        {
          memberId: leader!.memberId,
          clientId: 'client',
          clientHost: '127.0.0.1',
          metadata: bytes('subscription'),
          assignment: bytes(`a-${leader!.memberId}`),
        },
      ],
    });
    harness.joinAtOnce();
    expect(harness.group.describe()).toMatchObject({
      state: 'PreparingRebalance',
      protocolName: '',
      members: [{ metadata: bytes('') }, { metadata: bytes('') }],
    });
  });
});
