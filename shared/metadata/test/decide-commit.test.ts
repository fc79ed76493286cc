import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { BatchCommit, ExtentCommit, SegmentCommit } from '@kafscale/cluster';

import { decideCommit } from '../src/commit/decide.js';
import type { CommitState } from '../src/commit/types.js';
import { KafkaPartitionModel } from './support/kafka-partition-model.js';

const birthMs = 1_000_000;
const sequenceMax = 2 ** 31 - 1;

function stateOf(floors: ReadonlyMap<number, number>, previous?: CommitState): CommitState {
  return {
    databaseTimeMs: birthMs + 5,
    commitAgeMsMax: 60_000,
    incarnation: 1,
    liveNodeIds: new Set([1]),
    storedAnswers: new Map(),
    producers: [],
    partitions: new Map(
      [...floors].map(([partitionId, producerStateFloor]) => [
        partitionId,
        { partitionId, logStartOffset: 0, nextOffset: 0, maxTimestampMs: -1, producerStateFloor },
      ]),
    ),
    ...previous,
  };
}

/** The state that the next transaction reads after a decision was written. */
function written(state: CommitState, decision: ReturnType<typeof decideCommit>): CommitState {
  const partitions = new Map(state.partitions);
  for (const decided of decision.partitions) {
    const before = partitions.get(decided.partitionId)!;
    expect(decided.previousOffset).toBe(before.nextOffset);
    const { nextOffset, maxTimestampMs } = decided;
    partitions.set(decided.partitionId, { ...before, nextOffset, maxTimestampMs });
  }
  const key = (producer: { partitionId: number; producerId: number }): string =>
    `${producer.partitionId}/${producer.producerId}`;
  const producers = new Map(state.producers.map((producer) => [key(producer), producer]));
  for (const producer of decision.producers) producers.set(key(producer), producer);
  const storedAnswers = new Map(state.storedAnswers);
  for (const { segment, answer } of decision.segments) storedAnswers.set(segment.segmentId, answer);
  return { ...state, partitions, producers: [...producers.values()], storedAnswers };
}

// Few producers, epochs and sequences, so that duplicates, gaps, wraps and bumps are frequent.
const sequence = fc.oneof(
  fc.integer({ min: 0, max: 12 }),
  fc.integer({ min: sequenceMax - 4, max: sequenceMax }),
);
const batch = fc.record({
  recordCount: fc.integer({ min: 1, max: 3 }),
  firstTimestampMs: fc.integer({ min: -1, max: 50 }),
  maxTimestampMs: fc.integer({ min: -1, max: 100 }),
  producerId: fc.integer({ min: -1, max: 2 }),
  producerEpoch: fc.constantFrom(0, 0, 0, 1, 2),
  /** Half of the batches follow whatever the model expects; the others have this one. */
  baseSequence: fc.option(sequence, { nil: undefined }),
  repeat: fc.boolean(),
  excluded: fc.constantFrom(false, false, false, false, true),
});
const extent = fc.record({
  partitionId: fc.constantFrom(1, 2, 3),
  batches: fc.array(batch, { minLength: 1, maxLength: 6 }),
});
const transactions = fc.array(
  fc.array(
    fc.record({
      segmentId: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'),
      extents: fc.array(extent, { maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  { minLength: 1, maxLength: 8 },
);

type Drawn = typeof batch extends fc.Arbitrary<infer T> ? T : never;

/** Numbers the drawn batch: as the producer would go on, as it did before, or as drawn. */
function numbered(drawn: Drawn, model: KafkaPartitionModel | undefined): BatchCommit {
  const { repeat, baseSequence, ...rest } = drawn;
  if (rest.producerId < 0) return { ...rest, producerEpoch: -1, baseSequence: -1 };
  const known = repeat ? model?.anyKeptBatch(rest.producerId) : undefined;
  if (known !== undefined) return { ...rest, ...known };
  const next = model?.nextSequence(rest.producerId, rest.producerEpoch) ?? 0;
  return { ...rest, baseSequence: baseSequence ?? next };
}

describe('decideCommit against a model of one Kafka leader that takes one batch at a time', () => {
  const seen = new Map<string, number>();

  it('gives the same answers, offsets and index', () => {
    fc.assert(
      fc.property(transactions, (drawn) => {
        // Partition 1 knows all of its producers, 2 may lack some, 3 does not exist.
        const floors = new Map([
          [1, -1],
          [2, 1],
        ]);
        const models = new Map(
          [...floors].map(([id, floor]) => [id, new KafkaPartitionModel(floor)]),
        );
        let state = stateOf(floors);
        const answered = new Map<string, number[][]>();
        for (const group of drawn) {
          for (const model of models.values()) model.beginCall();
          const segments: SegmentCommit[] = [];
          const expected: number[][][] = [];
          for (const { segmentId, extents } of group) {
            const isRepeat = answered.has(segmentId);
            const commits: ExtentCommit[] = [];
            const answers = answered.get(segmentId) ?? [];
            extents.forEach((drawnExtent, index) => {
              const model = models.get(drawnExtent.partitionId);
              const batches: BatchCommit[] = [];
              const results: number[] = [];
              for (const drawnBatch of drawnExtent.batches) {
                const commit = numbered(drawnBatch, model);
                batches.push(commit);
                if (!isRepeat) results.push(model === undefined ? -3 : model.append(commit));
              }
              commits.push({
                partitionId: drawnExtent.partitionId,
                position: index,
                length: 1,
                batches,
              });
              if (!isRepeat) answers.push(results);
            });
            answered.set(segmentId, answers);
            expected.push(answers);
            segments.push({
              segmentId,
              nodeId: 1,
              incarnation: 1,
              birthMs,
              sizeBytes: 99,
              extents: commits,
            });
          }
          const decision = decideCommit(state, segments);
          const actual = decision.answers.map((answer) => {
            expect(answer.kind).toBe('committed');
            if (answer.kind !== 'committed') return [];
            return answer.extents.map((batches) =>
              batches.map((item) => (item.errorCode === 0 ? item.baseOffset : -item.errorCode)),
            );
          });
          expect(actual).toEqual(expected);
          for (const item of expected.flat(2)) {
            const name = item < 0 ? String(item) : 'offset';
            seen.set(name, (seen.get(name) ?? 0) + 1);
          }
          checkIndex(state, decision, segments);
          state = written(state, decision);
        }
        for (const [id, model] of models) {
          expect(state.partitions.get(id)!.nextOffset).toBe(model.log.length);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('met every answer often', () => {
    for (const answer of ['offset', '-3', '-45', '-47', '-56']) {
      expect(seen.get(answer) ?? 0).toBeGreaterThan(500);
    }
    expect([...seen.keys()].sort()).toEqual(['-3', '-45', '-47', '-56', 'offset']);
  });
});

describe('a segment that is refused as a whole', () => {
  const batchOf = (producerId: number, baseSequence: number): BatchCommit => ({
    recordCount: 1,
    firstTimestampMs: 1,
    maxTimestampMs: 1,
    producerId,
    producerEpoch: 0,
    baseSequence,
    excluded: false,
  });
  const segment = (segmentId: string, batches: BatchCommit[], born = birthMs): SegmentCommit => ({
    segmentId,
    nodeId: 1,
    incarnation: 1,
    birthMs: born,
    sizeBytes: 100,
    extents: [{ partitionId: 1, position: 0, length: 10, batches }],
  });
  const second = segment('b', [batchOf(5, 4), batchOf(6, 0), batchOf(-1, -1)]);

  // Partition 1 may lack the state of both producers: by their sequences all of it would be taken.
  it.each([
    ['tooOld', segment('a', [batchOf(5, 3)], birthMs - 60_000)],
    ['fenced', { ...segment('a', [batchOf(5, 3)]), nodeId: 2 }],
    ['fenced', { ...segment('a', [batchOf(5, 3)]), incarnation: 2 }],
  ])('%s takes its producers with it in the segments behind it', (kind, first) => {
    const { answers, extents } = decideCommit(stateOf(new Map([[1, 9]])), [first, second]);
    expect(answers[0]).toEqual({ kind });
    expect(answers[1]).toMatchObject({
      extents: [[{ errorCode: 56 }, { errorCode: 0, baseOffset: 0 }, { baseOffset: 1 }]],
    });
    expect(extents.map(({ extent: row }) => row.skippedBatches)).toEqual([[0]]);
  });

  it('loses what follows a batch that was excluded as well, also in a later segment', () => {
    const excluded = { ...batchOf(5, 3), excluded: true };
    const first = segment('a', [excluded, batchOf(6, 1)]);
    const next = segment('b', [batchOf(5, 4), batchOf(6, 2)]);
    const { answers } = decideCommit(stateOf(new Map([[1, 9]])), [first, next]);
    expect(answers).toMatchObject([
      { extents: [[{ errorCode: 56 }, { errorCode: 0 }]] },
      { extents: [[{ errorCode: 56 }, { errorCode: 0 }]] },
    ]);
  });

  it('takes nothing with it on other partitions, or that came before it', () => {
    const other = { ...second.extents[0]!, partitionId: 2 };
    const elsewhere = { ...segment('b', []), extents: [other] };
    const old = segment('a', [batchOf(5, 5)], birthMs - 60_000);
    const state = stateOf(
      new Map([
        [1, 9],
        [2, 9],
      ]),
    );
    const { answers } = decideCommit(state, [segment('c', [batchOf(5, 4)]), old, elsewhere]);
    expect(answers[0]).toMatchObject({ extents: [[{ errorCode: 0 }]] });
    expect(answers[2]).toMatchObject({
      extents: [[{ errorCode: 0 }, { errorCode: 0 }, { errorCode: 0 }]],
    });
  });
});

/** Index rows tile the new offsets, and name exactly the batches that were not written. */
function checkIndex(
  state: CommitState,
  decision: ReturnType<typeof decideCommit>,
  segments: readonly SegmentCommit[],
): void {
  const next = new Map([...state.partitions].map(([id, partition]) => [id, partition.nextOffset]));
  const prefix = new Map(
    [...state.partitions].map(([id, { maxTimestampMs }]) => [id, maxTimestampMs]),
  );
  for (const { extent: row, prefixMaxTimestampMs } of decision.extents) {
    expect(row.baseOffset).toBe(next.get(row.partitionId));
    next.set(row.partitionId, row.nextOffset);
    const segment = segments.find((candidate) => candidate.segmentId === row.segmentId)!;
    const source = segment.extents[row.position]!;
    const accepted = source.batches.filter((_, ordinal) => !row.skippedBatches.includes(ordinal));
    const records = accepted.reduce((total, item) => total + item.recordCount, 0);
    expect(row.nextOffset - row.baseOffset).toBe(records);
    expect(row.firstTimestampMs).toBe(accepted[0]!.firstTimestampMs);
    expect(row.maxTimestampMs).toBe(Math.max(...accepted.map((item) => item.maxTimestampMs)));
    const running = Math.max(prefix.get(row.partitionId)!, row.maxTimestampMs);
    expect(prefixMaxTimestampMs).toBe(running);
    prefix.set(row.partitionId, running);
  }
  for (const partition of decision.partitions) {
    expect(partition.nextOffset).toBe(next.get(partition.partitionId));
    expect(partition.maxTimestampMs).toBe(prefix.get(partition.partitionId));
  }
}
