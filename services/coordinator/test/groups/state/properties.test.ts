import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClassicGroup } from '../../../src/groups/state/classic-group.js';
import type { JoinAnswer, SyncAnswer } from '../../../src/groups/state/effects.js';
import type { Pending } from './harness.js';
import { bytes, Harness } from './harness.js';

/**
 * Random clients against one group. Each behaves as a client may: it joins, syncs, beats, leaves or
 * falls silent at any moment, writes end late or fail, time passes, and the owner restarts.
 */

interface Client {
  readonly name: string;
  readonly instance: string | null;
  memberId: string;
  generationId: number;
  join: Pending<JoinAnswer> | null;
  sync: Pending<SyncAnswer> | null;
  isLeader: boolean;
  members: readonly string[];
  /** When a request of this client was last taken, or its last wait ended. */
  lastSeenMs: number;
}

type Step =
  | { readonly kind: 'join' | 'sync' | 'beat' | 'leave' | 'commit'; readonly client: number }
  | { readonly kind: 'resubscribe'; readonly client: number; readonly version: number }
  | { readonly kind: 'pass'; readonly durationMs: number }
  | { readonly kind: 'write'; readonly fails: boolean }
  | { readonly kind: 'settle'; readonly seconds: number }
  | { readonly kind: 'restart' };

const clientCount = 5;
const sessionTimeoutMs = 10_000;

const client = fc.nat(clientCount - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('join' as const), client }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('sync' as const), client }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('beat' as const), client }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('commit' as const), client }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), client }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('resubscribe' as const),
      client,
      version: fc.nat(2),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('pass' as const),
      durationMs: fc.oneof(fc.integer({ min: 1, max: 4_000 }), fc.integer({ min: 1, max: 70_000 })),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      fails: fc.nat(9).map((dice) => dice === 0),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('settle' as const), seconds: fc.nat(9) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);

class World {
  readonly harness = new Harness();
  readonly clients: Client[] = Array.from({ length: clientCount }, (_, index) => ({
    name: `client-${index}`,
    instance: index < 2 ? `instance-${index}` : null,
    memberId: '',
    generationId: -1,
    join: null,
    sync: null,
    isLeader: false,
    members: [],
    lastSeenMs: 0,
  }));
  /** What any member was told its assignment is, by generation and member. */
  readonly told = new Map<string, string>();
  readonly leaders = new Map<number, string>();
  stored = new ClassicGroup('group', this.harness.settings).toStored();
  highestGeneration = 0;

  constructor() {
    this.harness.persistsAtOnce = false;
  }

  run(next: Step): void {
    if (next.kind === 'pass') this.harness.pass(next.durationMs);
    else if (next.kind === 'write') this.write(next.fails);
    else if (next.kind === 'restart') this.restart();
    else if (next.kind === 'settle') this.behave(next.seconds);
    else this.runClient(this.clients[next.client]!, next);
    for (const each of this.clients) this.collect(each);
    this.check();
  }

  runClient(self: Client, next: Step): void {
    if (self.join !== null || self.sync !== null) return;
    const { harness } = this;
    const { instance: groupInstanceId, memberId } = self;
    const alive = harness.group.describe().members.some((member) => member.memberId === memberId);
    if (next.kind === 'join' || next.kind === 'resubscribe') {
      const version = next.kind === 'resubscribe' ? next.version : 0;
      const protocols = [{ name: 'range', metadata: bytes(`${self.name}/${version}`) }];
      const request = { memberId, groupInstanceId, protocols, sessionTimeoutMs };
      self.join = harness.join({ ...request, rebalanceTimeoutMs: 30_000 });
    } else if (next.kind === 'sync' && self.generationId >= 0) {
      const plan = self.members.map((id) => [id, `${self.generationId}/${id}`]);
      const rest = { generationId: self.generationId };
      self.sync = harness.sync(
        { memberId, groupInstanceId },
        self.isLeader ? Object.fromEntries(plan) : {},
        rest,
      );
    } else if (next.kind === 'beat' && memberId !== '') {
      const error = harness.heartbeat(memberId, self.generationId, groupInstanceId ?? undefined);
      expect([0, 22, 25, 27, 82]).toContain(error);
      if (error === 0 || error === 27) self.lastSeenMs = harness.nowMs;
      if (error === 25) expect(alive).toBe(false);
    } else if (next.kind === 'commit' && memberId !== '') {
      const instance = groupInstanceId ?? undefined;
      const error = harness.checkCommit(memberId, self.generationId, instance);
      // An old generation never commits.
      if (error === 0 && self.generationId >= 0) {
        expect(self.generationId).toBe(harness.group.generationId);
        expect(alive).toBe(true);
        self.lastSeenMs = harness.nowMs;
      }
    } else if (next.kind === 'leave' && memberId !== '') {
      harness.leave({ memberId, groupInstanceId });
      self.memberId = '';
      self.generationId = -1;
    }
  }

  /** A client reads its answers. */
  collect(self: Client): void {
    const joined = self.join?.answer;
    if (joined) {
      self.join = null;
      self.lastSeenMs = this.harness.nowMs;
      if (joined.errorCode === 79) self.memberId = joined.memberId;
      else if (joined.errorCode === 0) this.joined(self, joined);
      else if (joined.errorCode !== 27) self.memberId = '';
    }
    const synced = self.sync?.answer;
    if (synced) {
      self.sync = null;
      if (synced.errorCode === 0) this.synced(self, synced);
      if (synced.errorCode === 25 || synced.errorCode === 82) self.memberId = '';
    }
  }

  joined(self: Client, answer: JoinAnswer): void {
    expect(answer.generationId).toBeGreaterThan(0);
    self.memberId = answer.memberId;
    self.generationId = answer.generationId;
    self.isLeader = answer.leaderId === answer.memberId && !answer.skipAssignment;
    self.members = answer.members.map(({ memberId }) => memberId);
    if (answer.leaderId !== answer.memberId) expect(answer.members).toHaveLength(0);
    else expect(self.members).toContain(answer.memberId);
  }

  synced(self: Client, answer: SyncAnswer): void {
    self.lastSeenMs = this.harness.nowMs;
    const key = `${self.generationId}/${self.instance ?? self.memberId}`;
    const assignment = answer.assignment.toString();
    const before = this.told.get(key);
    // One assignment per member and generation, whoever asks how often, also after a restart.
    if (before !== undefined) expect(assignment).toBe(before);
    this.told.set(key, assignment);
    // It is what the leader of this very generation assigned; a static member keeps its former id's.
    if (self.instance === null) expect(assignment).toBe(`${self.generationId}/${self.memberId}`);
    else expect(assignment).toMatch(new RegExp(`^${self.generationId}/${self.instance}-`));
    // What was revealed is durable.
    expect(this.stored.generationId).toBeGreaterThanOrEqual(self.generationId);
  }

  /** All clients live: join when they must, sync, beat; writes succeed. */
  behave(seconds: number): void {
    for (let elapsed = 0; elapsed < seconds; elapsed += 1) {
      this.writeAll();
      for (const [index, self] of this.clients.entries()) {
        const instance = self.instance ?? undefined;
        const isTold = this.told.has(`${self.generationId}/${instance ?? self.memberId}`);
        const beat = this.harness.heartbeat(self.memberId, self.generationId, instance);
        if (beat === 0 || beat === 27) self.lastSeenMs = this.harness.nowMs;
        if (beat !== 0) this.run({ kind: 'join', client: index });
        else if (!isTold) this.run({ kind: 'sync', client: index });
      }
      this.run({ kind: 'pass', durationMs: 1_000 });
    }
    this.writeAll();
  }

  writeAll(): void {
    while (this.harness.persists.length > 0) this.run({ kind: 'write', fails: false });
  }

  write(fails: boolean): void {
    const persist = this.harness.persists[0];
    if (persist === undefined) return;
    if (!fails) this.stored = persist.record;
    this.harness.endPersist(fails ? 15 : 0);
  }

  /** Everything that was not written is gone; connections break. */
  restart(): void {
    this.harness.persists.length = 0;
    this.harness.unload(16);
    for (const each of this.clients) this.collect(each);
    this.highestGeneration = this.stored.generationId;
    const { nowMs, settings } = this.harness;
    this.harness.group = ClassicGroup.restore(this.stored, settings, nowMs);
    for (const each of this.clients) each.lastSeenMs = nowMs;
  }

  check(): void {
    const { group, nowMs } = this.harness;
    const { generationId, members, state } = group.describe();
    expect(generationId).toBeGreaterThanOrEqual(this.highestGeneration);
    this.highestGeneration = generationId;
    if (state === 'Stable') expect(members.length).toBeGreaterThan(0);
    if (state === 'Empty') expect(members).toHaveLength(0);
    // A member exists once, and an instance has one member.
    const ids = members.map(({ memberId }) => memberId);
    expect(new Set(ids).size).toBe(ids.length);
    const instances = members.flatMap(({ groupInstanceId }) => groupInstanceId ?? []);
    expect(new Set(instances).size).toBe(instances.length);
    // The leader is one of the members.
    const { leaderId } = group.toStored();
    if (members.length > 0) expect(ids).toContain(leaderId);
    else expect(leaderId).toBeNull();
    // Nobody who has an assignment and was heard of within the session timeout is lost before the
    // generation ends.
    for (const self of this.clients) {
      if (self.generationId !== generationId || self.memberId === '') continue;
      if (self.join !== null || self.sync !== null) continue;
      if (!this.told.has(`${generationId}/${self.instance ?? self.memberId}`)) continue;
      if (nowMs - self.lastSeenMs < sessionTimeoutMs) expect(ids).toContain(self.memberId);
    }
    // Somebody will look at the group again as long as anybody is in it.
    if (members.length > 0 && this.harness.persists.length === 0)
      expect(group.wakeAtMs).toBeLessThan(Infinity);
  }
}

describe('a group under random clients', () => {
  it('keeps one leader, one assignment per member and generation, and loses nobody', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
        const world = new World();
        for (const next of steps) world.run(next);
      }),
      { numRuns: 100 },
    );
  });

  it('is stable again once its clients behave (G3)', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const world = new World();
        for (const next of steps) world.run(next);
        world.behave(120);
        expect(world.harness.group.state).toBe('Stable');
        expect(world.harness.group.memberCount).toBe(clientCount);
      }),
      { numRuns: 25 },
    );
  });
});
