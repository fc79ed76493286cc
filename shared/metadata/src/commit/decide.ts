import type {
  BatchAnswer,
  BatchCommit,
  ExtentCommit,
  SegmentAnswer,
  SegmentCommit,
} from '@kafscale/cluster';
import { addSafe, invariant } from '@kafscale/core';

import { PartitionAppender } from './partition-appender.js';
import { ProducerTable } from './producer-table.js';
import { appendToProducer, checkSequence, isSentBehind } from './sequences.js';
import type { NumberedBatch } from './sequences.js';
import type { CommitDecision, CommitState, DecidedExtent, DecidedSegment } from './types.js';

const unknownTopicOrPartition = 3;
const kafkaStorageError = 56;

/**
 * Decides a group of commits against the state that was read under the transaction's locks. Pure.
 *
 * The order of the checks matters. A stored answer comes first: it says what happened, whatever the
 * age of the segment or the state of its node is now. Then the age, then the fence.
 */
export function decideCommit(
  state: CommitState,
  segments: readonly SegmentCommit[],
): CommitDecision {
  const decider = new CommitDecider(state);
  const answers = segments.map((segment) => decider.decideSegment(segment));
  return decider.decision(answers);
}

class CommitDecider {
  readonly #state: CommitState;
  readonly #answers: Map<string, SegmentAnswer>;
  readonly #producers: ProducerTable;
  readonly #appenders = new Map<number, PartitionAppender>();
  readonly #segments: DecidedSegment[] = [];
  readonly #extents: DecidedExtent[] = [];
  /** By partition and producer: the first batch that was lost earlier in this call. */
  readonly #lostProducers = new Map<number, Map<number, NumberedBatch>>();

  constructor(state: CommitState) {
    this.#state = state;
    this.#answers = new Map(state.storedAnswers);
    this.#producers = new ProducerTable(state.producers);
  }

  decideSegment(segment: SegmentCommit): SegmentAnswer {
    const known = this.#answers.get(segment.segmentId);
    if (known !== undefined) return known;
    const answer = this.#decideNewSegment(segment);
    // The same segment may come twice in one call.
    this.#answers.set(segment.segmentId, answer);
    return answer;
  }

  decision(answers: readonly SegmentAnswer[]): CommitDecision {
    const partitions = [...this.#appenders.values()].filter((appender) => appender.changed);
    return {
      answers,
      segments: this.#segments,
      extents: this.#extents,
      partitions: partitions.map((appender) => appender.decided()),
      producers: this.#producers.changed(),
    };
  }

  #decideNewSegment(segment: SegmentCommit): SegmentAnswer {
    const { databaseTimeMs, commitAgeMsMax, incarnation, liveNodeIds } = this.#state;
    // Neither is stored: age only grows, and a node that was declared dead never comes back.
    if (databaseTimeMs - segment.birthMs > commitAgeMsMax) return this.#lose(segment, 'tooOld');
    if (segment.incarnation !== incarnation || !liveNodeIds.has(segment.nodeId)) {
      return this.#lose(segment, 'fenced');
    }
    const extentsBefore = this.#extents.length;
    const answer: SegmentAnswer = {
      kind: 'committed',
      extents: segment.extents.map((extent) => this.#decideExtent(segment, extent)),
    };
    const extentCount = this.#extents.length - extentsBefore;
    this.#segments.push({ segment, answer, extentCount });
    return answer;
  }

  #lose(segment: SegmentCommit, kind: 'tooOld' | 'fenced'): SegmentAnswer {
    for (const { batches, partitionId } of segment.extents) {
      for (const batch of batches) this.#loseBatch(partitionId, batch);
    }
    return { kind };
  }

  /**
   * Loss spreads forward, as it does in ingest between calls (design §4.5). A later segment of the same
   * call may be young enough, or sealed after its node had registered anew, or opened after the loss.
   * Where the partition takes any first sequence, a batch in it would be written, and the one that was
   * lost here shut out.
   */
  #loseBatch(partitionId: number, batch: BatchCommit): void {
    if (batch.producerId < 0) return;
    const lost = this.#lostProducers.get(partitionId) ?? new Map<number, NumberedBatch>();
    const known = lost.get(batch.producerId);
    if (known === undefined || !isSentBehind(batch, known)) lost.set(batch.producerId, batch);
    this.#lostProducers.set(partitionId, lost);
  }

  /** Whether it was sent behind a lost one. The lost one itself may come again, and ends it. */
  #isLost(partitionId: number, batch: BatchCommit): boolean {
    const producers = this.#lostProducers.get(partitionId);
    const lost = producers?.get(batch.producerId);
    if (lost === undefined) return false;
    if (lost.baseSequence === batch.baseSequence) producers?.delete(batch.producerId);
    return isSentBehind(batch, lost);
  }

  #decideExtent(segment: SegmentCommit, extent: ExtentCommit): readonly BatchAnswer[] {
    const appender = this.#appenderOf(extent.partitionId);
    if (appender === undefined) {
      // Deleted between upload and commit. A topic of the same name has other partition ids.
      const answer = { errorCode: unknownTopicOrPartition, baseOffset: -1, logStartOffset: -1 };
      return extent.batches.map(() => answer);
    }
    appender.beginExtent();
    const answers = extent.batches.map((batch) => this.#decideBatch(appender, batch));
    invariant(answers.length === extent.batches.length, 'every batch has an answer');
    const decided = appender.endExtent(segment, extent);
    if (decided !== null) this.#extents.push(decided);
    return answers;
  }

  #decideBatch(appender: PartitionAppender, batch: BatchCommit): BatchAnswer {
    const { logStartOffset } = appender;
    const errorCode = this.#refusalOf(appender, batch);
    if (typeof errorCode === 'object') {
      appender.skip();
      return { errorCode: 0, baseOffset: errorCode.baseOffset, logStartOffset };
    }
    if (errorCode !== 0) {
      appender.skip();
      return { errorCode, baseOffset: -1, logStartOffset };
    }
    const baseOffset = appender.append(batch);
    if (batch.producerId >= 0) {
      const identity = { partitionId: appender.partitionId, producerId: batch.producerId };
      const known = this.#producers.get(identity);
      this.#producers.set(appendToProducer(known, identity, batch, baseOffset));
    }
    invariant(appender.nextOffset === addSafe(baseOffset, batch.recordCount), 'offsets are dense');
    return { errorCode: 0, baseOffset, logStartOffset };
  }

  /** 0: append it. An object: a duplicate, and where the original is. Else Kafka's error code. */
  #refusalOf(appender: PartitionAppender, batch: BatchCommit): number | { baseOffset: number } {
    const { partitionId } = appender;
    if (batch.excluded) {
      this.#loseBatch(partitionId, batch);
      return kafkaStorageError;
    }
    if (batch.producerId < 0) return 0;
    if (this.#isLost(partitionId, batch)) return kafkaStorageError;
    const known = this.#producers.get({ partitionId, producerId: batch.producerId });
    const mayLackState = batch.producerId <= appender.producerStateFloor;
    const verdict = checkSequence(known, batch, mayLackState);
    if (verdict.kind === 'append') return 0;
    return verdict.kind === 'duplicate' ? verdict.original : verdict.errorCode;
  }

  #appenderOf(partitionId: number): PartitionAppender | undefined {
    const existing = this.#appenders.get(partitionId);
    if (existing !== undefined) return existing;
    const partition = this.#state.partitions.get(partitionId);
    if (partition === undefined) return undefined;
    const appender = new PartitionAppender(partition);
    this.#appenders.set(partitionId, appender);
    return appender;
  }
}
