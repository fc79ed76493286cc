import { describe, expect, it } from 'vitest';
import type { JoinAnswer } from '../../../src/groups/state/effects.js';
import { bytes, Harness } from './harness.js';

/** Two static members in a stable group; the first leads. */
function stableStatic(harness: Harness): [JoinAnswer, JoinAnswer] {
  const joins = ['one', 'two'].map((groupInstanceId) => harness.join({ groupInstanceId }));
  harness.pass(6_000);
  const answers = joins.map(({ answer }) => answer!) as [JoinAnswer, JoinAnswer];
  harness.syncAll(answers);
  return answers;
}

describe('static membership (KIP-345)', () => {
  it('joins without the round trip for the member id', () => {
    const harness = new Harness();
    const join = harness.join({ groupInstanceId: 'one', generatedMemberId: 'one-x' });
    harness.pass(3_000);
    expect(join.answer).toMatchObject({ errorCode: 0, memberId: 'one-x' });
    expect(join.answer!.members[0]!.groupInstanceId).toBe('one');
  });

  it('gives a follower that is back its assignment, a new id, and no rebalance', () => {
    const harness = new Harness();
    const [leader, follower] = stableStatic(harness);
    const back = harness.join({ groupInstanceId: 'two' });
    expect(back.answer).toMatchObject({
      errorCode: 0,
      generationId: 1,
      leaderId: leader.memberId,
      skipAssignment: false,
      members: [],
    });
    expect(back.answer!.memberId).not.toBe(follower.memberId);
    expect(harness.group.state).toBe('Stable');
    const sync = harness.sync({ memberId: back.answer!.memberId, groupInstanceId: 'two' });
    expect(sync.answer!.assignment).toEqual(bytes(`a-${follower.memberId}`));
  });

  it('fences the old id everywhere: FENCED_INSTANCE_ID', () => {
    const harness = new Harness();
    const [, follower] = stableStatic(harness);
    harness.join({ groupInstanceId: 'two' });
    const old = { memberId: follower.memberId, groupInstanceId: 'two' };
    expect(harness.heartbeat(old.memberId, 1, 'two')).toBe(82);
    expect(harness.checkCommit(old.memberId, 1, 'two')).toBe(82);
    expect(harness.sync(old).answer!.errorCode).toBe(82);
    expect(harness.join(old).answer!.errorCode).toBe(82);
    expect(harness.leave(old).answer!.members[0]!.errorCode).toBe(82);
  });

  it('answers a request that still waits for the old id with FENCED_INSTANCE_ID', () => {
    const harness = new Harness();
    const first = harness.join({ groupInstanceId: 'one' });
    const second = harness.join({ groupInstanceId: 'one' });
    expect(first.answer).toMatchObject({ errorCode: 82 });
    harness.pass(6_000);
    expect(second.answer).toMatchObject({ errorCode: 0 });
    expect(second.answer!.members).toHaveLength(1);
  });

  it('lets a leader that is back skip the assignment from version 9 on (KIP-814)', () => {
    const harness = new Harness();
    stableStatic(harness);
    const back = harness.join({ groupInstanceId: 'one' });
    expect(back.answer).toMatchObject({ errorCode: 0, skipAssignment: true });
    expect(back.answer!.leaderId).toBe(back.answer!.memberId);
    expect(back.answer!.members).toHaveLength(2);
  });

  it('names the old leader before version 9, so that nobody assigns anew', () => {
    const harness = new Harness();
    const [leader] = stableStatic(harness);
    const back = harness.join({ groupInstanceId: 'one', assignmentSkippable: false });
    expect(back.answer).toMatchObject({
      errorCode: 0,
      leaderId: leader.memberId,
      skipAssignment: false,
      members: [],
    });
  });

  it('answers only when the replacement is durable', () => {
    const harness = new Harness();
    const [, follower] = stableStatic(harness);
    harness.persistsAtOnce = false;
    const back = harness.join({ groupInstanceId: 'two' });
    expect(back.answer).toBeNull();
    expect(harness.persists[0]!.record.members).toHaveLength(2);
    const stored = harness.persists[0]!.record.members.map(({ memberId }) => memberId);
    expect(stored).not.toContain(follower.memberId);
    harness.endPersist();
    expect(stored).toContain(back.answer!.memberId);
  });

  it('puts the old member back when the replacement could not be stored', () => {
    const harness = new Harness();
    const [, follower] = stableStatic(harness);
    harness.persistsAtOnce = false;
    const back = harness.join({ groupInstanceId: 'two' });
    harness.endPersist(15);
    expect(back.answer).toMatchObject({ errorCode: 15, memberId: '' });
    expect(harness.heartbeat(follower.memberId, 1, 'two')).toBe(0);
    harness.pass(10_001);
    expect(harness.group.memberCount).toBe(0);
  });

  it('counts as joined when a rebalance begins before the replacement is stored', () => {
    const harness = new Harness();
    const [leader] = stableStatic(harness);
    harness.persistsAtOnce = false;
    const back = harness.join({ groupInstanceId: 'two' });
    const again = harness.join({ memberId: leader.memberId, groupInstanceId: 'one' });
    expect(back.answer).toMatchObject({ errorCode: 0, generationId: 2 });
    expect(again.answer).toMatchObject({ errorCode: 0, generationId: 2 });
    harness.endPersist();
    expect(harness.group.state).toBe('CompletingRebalance');
  });

  it('rebalances when the selected protocol would change', () => {
    const harness = new Harness();
    const sticky = { name: 'cooperative-sticky', metadata: bytes('sticky') };
    const range = { name: 'range', metadata: bytes('range') };
    const join = harness.join({ groupInstanceId: 'one', protocols: [range, sticky] });
    harness.pass(3_000);
    harness.syncAll([join.answer!]);
    const back = harness.join({ groupInstanceId: 'one', protocols: [sticky, range] });
    expect(back.answer).toMatchObject({
      errorCode: 0,
      generationId: 2,
      protocolName: 'cooperative-sticky',
    });
  });

  it('rebalances while the leader may be assigning to the old id', () => {
    const harness = new Harness();
    const joins = ['one', 'two'].map((groupInstanceId) => harness.join({ groupInstanceId }));
    harness.pass(6_000);
    expect(joins[0]!.answer).toMatchObject({ generationId: 1 });
    const back = harness.join({ groupInstanceId: 'two' });
    expect(back.answer).toBeNull();
    expect(harness.group.state).toBe('PreparingRebalance');
  });

  it('keeps the place of a member that does not come to a rebalance', () => {
    const harness = new Harness();
    const [leader, follower] = stableStatic(harness);
    const again = harness.join({
      memberId: leader.memberId,
      groupInstanceId: 'one',
      rebalanceTimeoutMs: 8_000,
    });
    for (let waitedMs = 0; waitedMs < 60_000; waitedMs += 6_000) {
      harness.pass(6_000);
      harness.heartbeat(follower.memberId, harness.group.generationId, 'two');
    }
    expect(again.answer).toMatchObject({ errorCode: 0, generationId: 2 });
    expect(again.answer!.members).toHaveLength(2);
  });

  it('ends with the session timeout only', () => {
    const harness = new Harness();
    stableStatic(harness);
    harness.pass(10_001);
    expect(harness.group.memberCount).toBe(0);
  });

  it('is removed by its instance id alone', () => {
    const harness = new Harness();
    stableStatic(harness);
    const left = harness.leave({ groupInstanceId: 'two' }, { groupInstanceId: 'three' });
    expect(left.answer).toEqual({
      errorCode: 0,
      members: [
        { memberId: '', groupInstanceId: 'two', errorCode: 0 },
        { memberId: '', groupInstanceId: 'three', errorCode: 25 },
      ],
    });
    expect(harness.group.state).toBe('PreparingRebalance');
  });

  it('is unknown with an id and an instance that the group has never seen', () => {
    const harness = new Harness();
    const [leader] = stableStatic(harness);
    const request = { memberId: leader.memberId, groupInstanceId: 'unknown' };
    expect(harness.join(request).answer!.errorCode).toBe(25);
  });

  it('comes back also to a full group', () => {
    const harness = new Harness({ membersMax: 2 });
    stableStatic(harness);
    expect(harness.join({ groupInstanceId: 'two' }).answer).toMatchObject({ errorCode: 0 });
  });
});
