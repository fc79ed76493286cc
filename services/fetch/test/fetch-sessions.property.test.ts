import { errorCodes, type FetchRequest } from '@kafscale/codec';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { openExchange } from '../src/sessions/fetch-exchange.js';
import { SessionCache } from '../src/sessions/session-cache.js';
import type { AnsweredPartition } from '../src/sessions/session-partition.js';

// A model of KIP-227 written for shortness: lists that are searched and sorted, one step at a time.

const sessionsMax = 3;
const partitionsMax = 7;
const evictionMs = 100;

interface ModelPartition {
  readonly name: string;
  offset: number;
  /** What the client knows; null: nothing that is of use. */
  told: { highWatermark: number; logStart: number } | null;
}

interface ModelSession {
  readonly id: number;
  readonly createdMs: number;
  readonly byId: boolean;
  epoch: number;
  lastUsedMs: number;
  size: number;
  isEvictable: boolean;
  partitions: ModelPartition[];
}

interface Log {
  error: number;
  highWatermark: number;
  logStart: number;
  /** Records behind the fetch offset. */
  records: boolean;
}

interface Step {
  readonly waitMs: number;
  readonly byId: boolean;
  /** Index of a session that the client has heard of; beyond them: one that never was. */
  readonly session: number;
  readonly epoch: 'initial' | 'final' | 'right' | 'wrong';
  readonly partitions: readonly number[];
  readonly forgotten: readonly number[];
  readonly changes: readonly (readonly [partition: number, change: Partial<Log>])[];
  /** Another request uses the session while this one is answered. */
  readonly overtaken: boolean;
}

const partitionCount = 6;
const change: fc.Arbitrary<Partial<Log>> = fc.oneof(
  fc.record({ error: fc.constantFrom(0, errorCodes.OFFSET_OUT_OF_RANGE) }),
  fc.record({ highWatermark: fc.nat(2) }),
  fc.record({ logStart: fc.nat(1) }),
  fc.record({ records: fc.boolean() }),
);
const somePartitions = fc.uniqueArray(fc.nat(partitionCount - 1), { maxLength: 4 });
const step: fc.Arbitrary<Step> = fc.record({
  waitMs: fc.constantFrom(0, 1, 50, 100, 101),
  byId: fc.integer({ min: 0, max: 9 }).map((value) => value === 0),
  session: fc.constantFrom(0, 0, 0, 0, 0, 1, 1, 2, 9),
  epoch: fc.constantFrom(
    'initial',
    'initial',
    'final',
    'right',
    'right',
    'right',
    'right',
    'wrong',
  ),
  partitions: somePartitions,
  forgotten: fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, somePartitions),
  changes: fc.array(fc.tuple(fc.nat(partitionCount - 1), change), { maxLength: 3 }),
  overtaken: fc.constantFrom(false, false, false, false, false, true),
});

it('sessions are as the model has them', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
      const run = new Run();
      for (const each of steps) run.take(each);
    }),
    { numRuns: 1_000 },
  );
});

class Run {
  nowMs = 1_000;
  evictions = 0;
  readonly cache = new SessionCache({
    limits: { sessionsMax, partitionsMax, evictionMs },
    clock: { monotonicMs: () => this.nowMs, wallMs: () => 0 },
    onEvicted: () => this.evictions++,
  });
  model: ModelSession[] = [];
  modelEvictions = 0;
  /** All ids that were ever given, with the epoch that the client would send next. */
  readonly heardOf: { id: number; epoch: number }[] = [];
  readonly logs = Array.from({ length: partitionCount }, (): Log => {
    return { error: 0, highWatermark: 0, logStart: 0, records: false };
  });

  take(todo: Step): void {
    this.nowMs += todo.waitMs;
    for (const [partition, changed] of todo.changes) Object.assign(this.logs[partition]!, changed);
    const client = this.heardOf[todo.session];
    const sessionId = client?.id ?? 0;
    const next = client?.epoch ?? 1;
    const epochs = { initial: 0, final: -1, right: next, wrong: next + 1 };
    const request = requestOf(todo, sessionId, epochs[todo.epoch]);
    const version = todo.byId ? 13 : 12;

    const opened = openExchange(this.cache, request, version);
    const session = this.model.find(({ id }) => id === sessionId);
    const expected = this.#open(request, session, todo.byId);
    if ('errorCode' in opened) {
      expect(opened.errorCode).toBe(expected);
      return this.#compare();
    }
    expect(opened.wanted.map(nameOf)).toEqual(expected);
    if (todo.overtaken && session !== undefined && todo.epoch === 'right') {
      // Nobody may speak for a state that has moved on.
      openExchange(
        this.cache,
        { ...request, topics: [], forgottenTopicsData: [], sessionEpoch: next + 1 },
        version,
      );
      this.#open(
        { ...request, topics: [], forgottenTopicsData: [], sessionEpoch: next + 1 },
        session,
        todo.byId,
      );
    }
    const answers = opened.wanted.map((wanted) => {
      return { name: nameOf(wanted), ...answerOf(this.logs[wanted.requested.partition]!) };
    });
    const { errorCode, sessionId: given, answers: told } = opened.conclude(answers);
    const names = told.map(({ name }) => name);
    if (todo.epoch === 'initial') this.#concludeFull(request, given, names, todo.byId);
    else if (todo.epoch === 'final') expect([errorCode, given, names]).toEqual([0, 0, expected]);
    else this.#concludeIncremental(session!, { errorCode, given, names, expected, next });
    this.#compare();
  }

  /** The error, or the names of what is wanted. */
  #open(
    request: FetchRequest,
    session: ModelSession | undefined,
    byId: boolean,
  ): number | string[] {
    const asked = namesOf(request);
    if (request.sessionEpoch <= 0) {
      this.model = this.model.filter((each) => each !== session);
      return asked;
    }
    if (session === undefined) return errorCodes.FETCH_SESSION_ID_NOT_FOUND;
    if (session.epoch !== request.sessionEpoch) return errorCodes.INVALID_FETCH_SESSION_EPOCH;
    if (session.byId !== byId) return errorCodes.FETCH_SESSION_TOPIC_ID_ERROR;
    for (const name of asked) {
      if (session.partitions.some((each) => each.name === name)) continue;
      session.partitions.push({ name, offset: 0, told: null });
    }
    const forgotten = forgottenOf(request);
    session.partitions = session.partitions.filter(({ name }) => !forgotten.includes(name));
    if (session.partitions.length === 0) {
      this.model = this.model.filter((each) => each !== session);
      return asked;
    }
    this.#use(session);
    if (this.#partitionCount() > partitionsMax) {
      this.model = this.model.filter((each) => each !== session);
      return errorCodes.FETCH_SESSION_ID_NOT_FOUND;
    }
    session.epoch++;
    return session.partitions.map(({ name }) => name);
  }

  #concludeFull(request: FetchRequest, given: number, names: string[], byId: boolean): void {
    const asked = namesOf(request);
    expect(names).toEqual(asked);
    const hasRoom = this.#makeRoom(asked.length);
    expect(given > 0).toBe(hasRoom);
    if (!hasRoom) return;
    expect(given).toBeGreaterThan(0);
    expect(this.model.map(({ id }) => id)).not.toContain(given);
    const session: ModelSession = {
      id: given,
      createdMs: this.nowMs,
      byId,
      epoch: 1,
      lastUsedMs: this.nowMs,
      size: 0,
      isEvictable: false,
      partitions: [
        ...asked.filter((name) => !this.#hasRecords(name)),
        ...asked.filter((name) => this.#hasRecords(name)),
      ].map((name) => ({ name, offset: 0, told: this.#toldOf(name) })),
    };
    this.model.push(session);
    this.#use(session);
    this.heardOf.unshift({ id: given, epoch: 1 });
  }

  #concludeIncremental(
    session: ModelSession,
    {
      errorCode,
      given,
      names,
      expected,
      next,
    }: {
      errorCode: number;
      given: number;
      names: string[];
      expected: number | string[];
      next: number;
    },
  ): void {
    // Emptied: closed, and answered without a session.
    if (session.partitions.length === 0) {
      return expect([errorCode, given, names]).toEqual([0, 0, expected]);
    }
    if (session.epoch !== next + 1) {
      const told = [errorCodes.INVALID_FETCH_SESSION_EPOCH, session.id, []];
      return expect([errorCode, given, names]).toEqual(told);
    }
    for (const client of this.heardOf) if (client.id === session.id) client.epoch++;
    const changed: string[] = [];
    for (const partition of session.partitions.slice()) {
      const { error, records, highWatermark, logStart } = this.#logOf(partition.name);
      const isNews =
        partition.told?.highWatermark !== highWatermark || partition.told.logStart !== logStart;
      if (error === 0 && !records && !isNews) continue;
      changed.push(partition.name);
      partition.told = this.#toldOf(partition.name);
      if (error === 0 && records) {
        session.partitions = [
          ...session.partitions.filter((each) => each !== partition),
          partition,
        ];
      }
    }
    expect([errorCode, given, names]).toEqual([0, session.id, changed]);
  }

  #toldOf(name: string): ModelPartition['told'] {
    const { error, highWatermark, logStart } = this.#logOf(name);
    return error === 0 ? { highWatermark, logStart } : null;
  }

  #hasRecords(name: string): boolean {
    const { error, records } = this.#logOf(name);
    return error === 0 && records;
  }

  #logOf(name: string): Log {
    return this.logs[Number(name.split('/')[1])]!;
  }

  #use(session: ModelSession): void {
    session.lastUsedMs = this.nowMs;
    session.size = session.partitions.length;
    session.isEvictable = this.nowMs - session.createdMs > evictionMs;
    this.model = [...this.model.filter((each) => each !== session), session];
  }

  #makeRoom(size: number): boolean {
    if (size > partitionsMax) return false;
    while (this.model.length >= sessionsMax || this.#partitionCount() + size > partitionsMax) {
      const stale = this.model.filter(({ lastUsedMs }) => this.nowMs - lastUsedMs > evictionMs);
      const smaller = this.model
        .filter((each) => each.isEvictable)
        .sort((left, right) => left.size - right.size || left.id - right.id)
        .slice(0, 1)
        .filter((each) => each.size < size);
      const victim = stale[0] ?? smaller[0];
      if (victim === undefined) return false;
      this.model = this.model.filter((each) => each !== victim);
      this.modelEvictions++;
    }
    return true;
  }

  #partitionCount(): number {
    return this.model.reduce((sum, { size }) => sum + size, 0);
  }

  #compare(): void {
    expect(this.cache.sessionCount).toBe(this.model.length);
    expect(this.cache.partitionCount).toBe(this.#partitionCount());
    expect(this.evictions).toBe(this.modelEvictions);
    for (const { id, epoch } of this.model) expect(this.cache.get(id)?.epoch).toBe(epoch);
    expect(this.cache.partitionCount).toBeLessThanOrEqual(partitionsMax);
  }
}

/** Partitions of one or two topics. */
function requestOf(todo: Step, sessionId: number, sessionEpoch: number): FetchRequest {
  const topicsOf = (partitions: readonly number[]): { topic: string; at: number }[] =>
    partitions.map((at) => ({ topic: at % 2 === 0 ? 'even' : 'odd', at }));
  const ids = { topic: '', topicId: '' };
  const named = (topic: string): typeof ids =>
    todo.byId ? { ...ids, topicId: `id of ${topic}` } : { ...ids, topic };
  return {
    clusterId: null,
    replicaId: -1,
    replicaState: { replicaId: -1, replicaEpoch: -1n },
    maxWaitMs: 0,
    minBytes: 1,
    maxBytes: 1,
    isolationLevel: 0,
    sessionId,
    sessionEpoch,
    topics: topicsOf(todo.partitions).map(({ topic, at }) => ({
      ...named(topic),
      partitions: [
        {
          partition: at,
          currentLeaderEpoch: -1,
          fetchOffset: 0n,
          lastFetchedEpoch: -1,
          logStartOffset: -1n,
          partitionMaxBytes: 1,
          replicaDirectoryId: '',
          highWatermark: 0n,
        },
      ],
    })),
    forgottenTopicsData: topicsOf(todo.forgotten).map(({ topic, at }) => {
      return { ...named(topic), partitions: [at] };
    }),
    rackId: '',
  };
}

function nameOf(wanted: {
  readonly topic: string;
  readonly topicId: string;
  readonly requested: { readonly partition: number };
}): string {
  return `${wanted.topic}${wanted.topicId}/${wanted.requested.partition}`;
}

function namesOf({ topics }: FetchRequest): string[] {
  return topics.flatMap(({ topic, topicId, partitions }) =>
    partitions.map((requested) => nameOf({ topic, topicId, requested })),
  );
}

function forgottenOf({ forgottenTopicsData }: FetchRequest): string[] {
  return forgottenTopicsData.flatMap(({ topic, topicId, partitions }) =>
    partitions.map((partition) => nameOf({ topic, topicId, requested: { partition } })),
  );
}

function answerOf({ error, highWatermark, logStart, records }: Log): AnsweredPartition {
  return {
    errorCode: error,
    head: { highWatermark, logStartOffset: logStart },
    records: records ? [Buffer.from('records')] : [],
  };
}
