import { errorCodes } from '@kafscale/codec';
import { describe, expect, it } from 'vitest';
import { ClassicGroup } from '../../../src/groups/state/classic-group.js';
import { bytes, Harness } from './harness.js';

const range = { name: 'range', metadata: bytes('subscription') };
const sticky = { name: 'cooperative-sticky', metadata: bytes('sticky subscription') };

describe('a member without an id (KIP-394)', () => {
  it('is told its id first, and joins with it', () => {
    const harness = new Harness();
    const first = harness.join({ generatedMemberId: 'client-x' });
    expect(first.answer).toMatchObject({ errorCode: 79, memberId: 'client-x', generationId: -1 });
    expect(harness.group.state).toBe('Empty');
    const second = harness.join({ memberId: 'client-x' });
    expect(second.answer).toBeNull();
    harness.pass(3_000);
    expect(second.answer).toMatchObject({
      errorCode: 0,
      memberId: 'client-x',
      leaderId: 'client-x',
      generationId: 1,
      protocolName: 'range',
      protocolType: 'consumer',
      skipAssignment: false,
      members: [{ memberId: 'client-x', groupInstanceId: null, metadata: bytes('subscription') }],
    });
  });

  it('is admitted directly before version 4', () => {
    const harness = new Harness();
    const join = harness.joinAtOnce();
    harness.pass(3_000);
    expect(join.answer).toMatchObject({ errorCode: 0, generationId: 1 });
  });

  it('loses its id when it does not come back within its session timeout', () => {
    const harness = new Harness();
    const first = harness.join({ sessionTimeoutMs: 6_000 });
    harness.pass(5_999);
    expect(harness.group.isIdle).toBe(false);
    harness.pass(1);
    expect(harness.group.isIdle).toBe(true);
    const late = harness.join({ memberId: first.answer!.memberId });
    expect(late.answer).toMatchObject({ errorCode: errorCodes.UNKNOWN_MEMBER_ID });
  });

  it('keeps a rebalance waiting for it, but not for ever', () => {
    const harness = new Harness();
    const [leader] = harness.stable(1);
    harness.join({ sessionTimeoutMs: 6_000 });
    const rejoin = harness.join({ memberId: leader!.memberId });
    expect(rejoin.answer).toBeNull();
    harness.pass(6_000);
    expect(rejoin.answer).toMatchObject({ errorCode: 0, generationId: 2 });
  });

  it('is bounded in number', () => {
    const harness = new Harness({ membersMax: 2 });
    expect(harness.join().answer).toMatchObject({ errorCode: 79 });
    expect(harness.join().answer).toMatchObject({ errorCode: 79 });
    expect(harness.join().answer).toMatchObject({ errorCode: 81 });
  });
});

describe('the initial rebalance', () => {
  it('waits for group.initial.rebalance.delay.ms', () => {
    const harness = new Harness();
    const join = harness.joinAtOnce();
    harness.pass(2_999);
    expect(join.answer).toBeNull();
    harness.pass(1);
    expect(join.answer).toMatchObject({ errorCode: 0 });
  });

  it('is extended while members arrive, up to the rebalance timeout', () => {
    const harness = new Harness();
    const joins = [harness.joinAtOnce({ rebalanceTimeoutMs: 10_000 })];
    for (let second = 2; second <= 8; second += 2) {
      harness.pass(2_000);
      joins.push(harness.joinAtOnce({ rebalanceTimeoutMs: 10_000 }));
    }
    harness.pass(1_999);
    expect(joins.every(({ answer }) => answer === null)).toBe(true);
    harness.pass(1);
    expect(joins.map(({ answer }) => answer?.generationId)).toEqual([1, 1, 1, 1, 1]);
  });

  it('ends at once with a delay of 0', () => {
    const harness = new Harness({ initialRebalanceDelayMs: 0 });
    const join = harness.joinAtOnce();
    harness.pass(0);
    expect(join.answer).toMatchObject({ errorCode: 0, generationId: 1 });
  });

  it('gives the members to the leader only', () => {
    const harness = new Harness();
    const joins = [harness.joinAtOnce(), harness.joinAtOnce(), harness.joinAtOnce()];
    harness.pass(6_000);
    expect(joins.map(({ answer }) => answer!.members.length)).toEqual([3, 0, 0]);
    expect(new Set(joins.map(({ answer }) => answer!.leaderId)).size).toBe(1);
  });
});

describe('the protocol', () => {
  it('is the one with the most votes among those that all support', () => {
    const harness = new Harness();
    const joins = [
      harness.joinAtOnce({ protocols: [range, sticky] }),
      harness.joinAtOnce({ protocols: [sticky, range] }),
      harness.joinAtOnce({ protocols: [sticky, range] }),
    ];
    harness.pass(6_000);
    expect(joins[0]!.answer!.protocolName).toBe('cooperative-sticky');
    expect(joins[0]!.answer!.members[0]!.metadata).toEqual(sticky.metadata);
  });

  it('is never one that a member lacks', () => {
    const harness = new Harness();
    const joins = [
      harness.joinAtOnce({ protocols: [sticky, range] }),
      harness.joinAtOnce({ protocols: [sticky, range] }),
      harness.joinAtOnce({ protocols: [range] }),
    ];
    harness.pass(6_000);
    expect(joins[0]!.answer!.protocolName).toBe('range');
  });

  it.each([
    ['no common protocol', { protocols: [sticky] }],
    ['another type', { protocolType: 'connect' }],
    ['no protocols', { protocols: [] }],
  ])('refuses a member with %s: INCONSISTENT_GROUP_PROTOCOL', (_, request) => {
    const harness = new Harness();
    harness.stable(1);
    expect(harness.join(request).answer).toMatchObject({ errorCode: 23 });
    expect(harness.group.state).toBe('Stable');
  });

  it.each([
    ['an empty type', { protocolType: '' }],
    ['no protocols', { protocols: [] }],
  ])('refuses the first member with %s', (_, request) => {
    expect(new Harness().join(request).answer).toMatchObject({ errorCode: 23 });
  });

  it('counts a protocol that a member names twice once', () => {
    const harness = new Harness();
    const first = harness.joinAtOnce({ protocols: [range, range, sticky] });
    harness.joinAtOnce({ protocols: [range] });
    harness.pass(6_000);
    expect(first.answer!.protocolName).toBe('range');
  });
});

describe('a member that joins again', () => {
  it('learns the generation that is, if it follows and nothing has changed', () => {
    const harness = new Harness();
    const [leader, follower] = harness.stable(2);
    const again = harness.join({ memberId: follower!.memberId });
    expect(again.answer).toMatchObject({
      errorCode: 0,
      generationId: 1,
      leaderId: leader!.memberId,
      members: [],
    });
    expect(harness.group.state).toBe('Stable');
  });

  it('rebalances a stable group if it leads', () => {
    const harness = new Harness();
    const [leader] = harness.stable(2);
    expect(harness.join({ memberId: leader!.memberId }).answer).toBeNull();
    expect(harness.group.state).toBe('PreparingRebalance');
  });

  it('rebalances a stable group if its subscription has changed', () => {
    const harness = new Harness();
    const [, follower] = harness.stable(2);
    harness.join({
      memberId: follower!.memberId,
      protocols: [{ name: 'range', metadata: bytes('another') }],
    });
    expect(harness.group.state).toBe('PreparingRebalance');
  });

  it('gets the same answer again before anybody has synced', () => {
    const harness = new Harness();
    const joins = [harness.joinAtOnce(), harness.joinAtOnce()];
    harness.pass(6_000);
    const leader = joins[0]!.answer!;
    const again = harness.join({ memberId: leader.memberId });
    expect(again.answer).toEqual(leader);
    expect(again.answer!.members).toHaveLength(2);
  });

  it('is unknown if it never was a member', () => {
    const harness = new Harness();
    harness.stable(1);
    expect(harness.join({ memberId: 'nobody' }).answer).toMatchObject({ errorCode: 25 });
  });

  it('ends its earlier request, which its client has given up', () => {
    const harness = new Harness();
    const [leader] = harness.stable(2);
    const first = harness.join({ memberId: leader!.memberId });
    const second = harness.join({ memberId: leader!.memberId });
    expect(first.answer).toMatchObject({ errorCode: 27 });
    expect(second.answer).toBeNull();
  });

  it('grows the generation with every rebalance, as cooperative clients need it', () => {
    const harness = new Harness();
    const [leader, follower] = harness.stable(2);
    for (const generationId of [2, 3]) {
      const joins = [
        harness.join({ memberId: leader!.memberId }),
        harness.join({ memberId: follower!.memberId }),
      ];
      expect(joins.map(({ answer }) => answer!.generationId)).toEqual([generationId, generationId]);
      harness.syncAll(joins.map(({ answer }) => answer!));
    }
  });
});

describe('limits', () => {
  it('refuses members beyond group.max.size: GROUP_MAX_SIZE_REACHED', () => {
    const harness = new Harness({ membersMax: 2 });
    harness.stable(2);
    expect(harness.joinAtOnce().answer).toMatchObject({ errorCode: 81, memberId: '' });
    expect(harness.group.memberCount).toBe(2);
  });

  it('kicks the last to rejoin when the limit was lowered', () => {
    const before = new Harness();
    const members = before.stable(3);
    const harness = new Harness({ membersMax: 2 });
    const stored = before.group.toStored();
    harness.group = ClassicGroup.restore(stored, harness.settings, harness.nowMs);
    const joins = members.map(({ memberId }) => harness.join({ memberId }));
    expect(joins.map(({ answer }) => answer?.errorCode)).toEqual([0, 0, 81]);
    expect(harness.group.memberCount).toBe(2);
  });

  it('refuses subscriptions that are too large together', () => {
    const harness = new Harness({ protocolsBytesMax: 100 });
    const large = [{ name: 'range', metadata: Buffer.alloc(60) }];
    harness.joinAtOnce({ protocols: large });
    expect(harness.joinAtOnce({ protocols: large }).answer).toMatchObject({ errorCode: 81 });
  });
});

describe('members that do not come to a rebalance', () => {
  it('are out when the rebalance timeout ends', () => {
    const harness = new Harness();
    const [leader, follower] = harness.stable(2);
    const again = harness.join({ memberId: leader!.memberId });
    for (let waitedMs = 0; waitedMs < 54_000; waitedMs += 9_000) {
      harness.pass(9_000);
      expect(harness.heartbeat(follower!.memberId)).toBe(27);
      expect(again.answer).toBeNull();
    }
    harness.pass(6_000);
    expect(again.answer).toMatchObject({ errorCode: 0, generationId: 2 });
    expect(again.answer!.members).toHaveLength(1);
    expect(harness.heartbeat(follower!.memberId)).toBe(25);
  });

  it('lose the lead to one that came', () => {
    const harness = new Harness();
    const [leader, follower] = harness.stable(2);
    const again = harness.join({
      memberId: follower!.memberId,
      protocols: [{ name: 'range', metadata: bytes('another') }],
    });
    for (let waitedMs = 0; waitedMs < 60_000; waitedMs += 6_000) {
      expect(harness.heartbeat(leader!.memberId)).toBe(27);
      harness.pass(6_000);
    }
    expect(again.answer).toMatchObject({ errorCode: 0, leaderId: follower!.memberId });
    expect(again.answer!.members.map(({ memberId }) => memberId)).toEqual([follower!.memberId]);
  });

  it('are waited for again if nobody has come, until their sessions end', () => {
    const harness = new Harness();
    const first = harness.joinAtOnce({ groupInstanceId: 'one' });
    harness.joinAtOnce({ groupInstanceId: 'two' });
    harness.pass(6_000);
    harness.syncAll([first.answer!]);
    // The other static member never synced: it is removed, and the leader must rejoin. Nobody does.
    for (let waitedMs = 0; waitedMs < 180_000; waitedMs += 5_000) {
      harness.heartbeat(first.answer!.memberId);
      harness.pass(5_000);
    }
    expect(harness.group.state).toBe('PreparingRebalance');
    expect(harness.group.memberCount).toBe(1);
    harness.pass(70_000);
    expect(harness.group.state).toBe('Empty');
  });
});

describe('a new member that waits', () => {
  it('is given up after the time for new members', () => {
    const harness = new Harness({ newMemberJoinTimeoutMs: 20_000 });
    const [leader] = harness.stable(1);
    const join = harness.joinAtOnce();
    for (let waitedMs = 0; waitedMs < 20_000; waitedMs += 5_000) {
      expect(join.answer).toBeNull();
      expect(harness.heartbeat(leader!.memberId)).toBe(27);
      harness.pass(5_000);
    }
    expect(join.answer).toMatchObject({ errorCode: 25, memberId: '' });
  });
});
