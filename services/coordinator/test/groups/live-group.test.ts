import { OperatingError } from '@kafscale/core';
import type { StoredGroup } from '@kafscale/metadata';
import { describe, expect, it } from 'vitest';
import { groupSettingsDefault } from '../../src/groups/group-manager.js';
import { LiveGroup } from '../../src/groups/live-group.js';
import { ClassicGroup } from '../../src/groups/state/classic-group.js';
import type { JoinAnswer } from '../../src/groups/state/effects.js';
import { ManualTime } from './group-server.js';

/** A group whose writes end when the test says so. */
class Fixture {
  readonly time = new ManualTime();
  readonly saves: { record: StoredGroup; end: (error?: Error) => void }[] = [];
  readonly failures: unknown[] = [];
  readonly live: LiveGroup;
  #memberIds = 0;

  constructor(stored: StoredGroup) {
    const group = ClassicGroup.restore(stored, groupSettingsDefault, this.time.nowMs);
    this.live = new LiveGroup(group, {
      clock: this.time,
      scheduler: this.time,
      log: { info: () => {}, warn: () => {}, error: () => {} },
      holds: () => true,
      refusals: () => 0,
      save: (record) =>
        new Promise((resolve, reject) => {
          this.saves.push({ record, end: (error) => (error ? reject(error) : resolve()) });
        }),
      saveFailed: (error) => this.failures.push(error),
    });
  }

  /** The static member of an instance comes back without its member id. */
  comeBack(groupInstanceId: string): Promise<JoinAnswer> {
    this.#memberIds += 1;
    const request = {
      knownMemberIdRequired: true,
      assignmentSkippable: true,
      memberId: '',
      generatedMemberId: `${groupInstanceId}-new-${this.#memberIds}`,
      groupInstanceId,
      clientId: 'client',
      clientHost: '127.0.0.1',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: Buffer.from('subscription') }],
      reason: null,
    };
    return this.live.join(request, new AbortController().signal);
  }

  get memberIds(): string[] {
    return this.live.group.describe().members.map(({ memberId }) => memberId);
  }
}

const instances = ['a', 'b', 'c'];

const stored: StoredGroup = {
  groupId: 'group',
  generationId: 4,
  protocolType: 'consumer',
  protocolName: 'range',
  leaderId: 'a-old',
  members: instances.map((groupInstanceId) => ({
    memberId: `${groupInstanceId}-old`,
    groupInstanceId,
    clientId: 'client',
    clientHost: '127.0.0.1',
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 60_000,
    protocols: [{ name: 'range', metadata: Buffer.from('subscription') }],
    assignment: Buffer.from(groupInstanceId),
  })),
};

function idsOf({ members }: StoredGroup): string[] {
  return members.map(({ memberId }) => memberId).sort();
}

async function turn(): Promise<void> {
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
}

const unavailable = new OperatingError('METADATA_UNAVAILABLE', 'gone', { retriable: true });

describe('the writes of a group', () => {
  it('run one at a time, and what waits is written together', async () => {
    const fixture = new Fixture(stored);
    const back = instances.map((instance) => fixture.comeBack(instance));
    expect(fixture.saves).toHaveLength(1);
    expect(idsOf(fixture.saves[0]!.record)).toEqual(['a-new-1', 'b-old', 'c-old']);
    fixture.saves[0]!.end();
    expect(await back[0]).toMatchObject({
      errorCode: 0,
      memberId: 'a-new-1',
      skipAssignment: true,
    });
    await turn();
    expect(fixture.saves).toHaveLength(2);
    expect(idsOf(fixture.saves[1]!.record)).toEqual(['a-new-1', 'b-new-2', 'c-new-3']);
    fixture.saves[1]!.end();
    expect((await Promise.all(back)).map(({ errorCode }) => errorCode)).toEqual([0, 0, 0]);
    expect(fixture.saves).toHaveLength(2);
  });

  it('that fail take back what waited behind them too', async () => {
    const fixture = new Fixture(stored);
    const back = instances.map((instance) => fixture.comeBack(instance));
    fixture.saves[0]!.end(unavailable);
    expect((await Promise.all(back)).map(({ errorCode }) => errorCode)).toEqual([15, 15, 15]);
    expect(fixture.saves).toHaveLength(1);
    expect(fixture.failures).toEqual([unavailable]);
    expect(fixture.memberIds.sort()).toEqual(['a-old', 'b-old', 'c-old']);
    expect(fixture.live.group.state).toBe('Stable');
    // And it goes on.
    const again = fixture.comeBack('b');
    fixture.saves[1]!.end();
    expect(await again).toMatchObject({ errorCode: 0, generationId: 4 });
  });

  it('of one instance that comes back twice: the second counts', async () => {
    const fixture = new Fixture(stored);
    const first = fixture.comeBack('b');
    const second = fixture.comeBack('b');
    expect(await first).toMatchObject({ errorCode: 82 });
    fixture.saves[0]!.end();
    await turn();
    expect(idsOf(fixture.saves[1]!.record)).toEqual(['a-old', 'b-new-2', 'c-old']);
    fixture.saves[1]!.end();
    expect(await second).toMatchObject({ errorCode: 0, memberId: 'b-new-2' });
  });

  it('that fail for good are UNKNOWN_SERVER_ERROR, a lost lease is NOT_COORDINATOR', async () => {
    const fixture = new Fixture(stored);
    const broken = fixture.comeBack('a');
    fixture.saves[0]!.end(new OperatingError('METADATA_FAILED', 'no'));
    expect((await broken).errorCode).toBe(-1);
    const lost = fixture.comeBack('a');
    fixture.saves[1]!.end(new OperatingError('SHARD_LEASE_LOST', 'no', { retriable: true }));
    expect((await lost).errorCode).toBe(16);
  });
});

describe('an unloaded group', () => {
  it('has no timer, ends waits, and ignores the end of its write', async () => {
    const fixture = new Fixture(stored);
    const back = fixture.comeBack('b');
    expect(fixture.time.timerCount).toBe(1);
    fixture.live.unload();
    expect(await back).toMatchObject({ errorCode: 16 });
    expect(fixture.time.timerCount).toBe(0);
    fixture.saves[0]!.end();
    await turn();
    expect(fixture.live.group.state).toBe('Dead');
    expect(fixture.time.timerCount).toBe(0);
  });
});
