import { limits } from '@kafscale/core';

import type { KeptBatch, ProducerState } from './types.js';

/** Kafka's error codes that a sequence check can end with. */
export const sequenceErrors = {
  outOfOrderSequenceNumber: 45,
  invalidProducerEpoch: 47,
} as const;

/** The fields of a batch that its producer numbers it with. */
export interface NumberedBatch {
  readonly recordCount: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
}

export type SequenceVerdict =
  | { readonly kind: 'append' }
  | { readonly kind: 'duplicate'; readonly original: KeptBatch }
  | { readonly kind: 'refused'; readonly errorCode: number };

const append: SequenceVerdict = { kind: 'append' };
const outOfOrder: SequenceVerdict = {
  kind: 'refused',
  errorCode: sequenceErrors.outOfOrderSequenceNumber,
};
const fencedEpoch: SequenceVerdict = {
  kind: 'refused',
  errorCode: sequenceErrors.invalidProducerEpoch,
};

/**
 * Whether a partition takes a batch from an idempotent producer (KIP-98). In Kafka:
 * UnifiedLog.analyzeAndValidateProducerState for duplicates, then ProducerAppendInfo. A duplicate
 * that is older than the 5 batches kept is out of order there, too.
 *
 * One difference, which a shared write path forces (design §4): without any state the first sequence
 * must be 0. Two batches of a new producer can travel in two segments, and the second commit first;
 * if it were accepted, the first would be a gap for ever. `mayLackState`: the partition may have
 * discarded what it knew of this producer, and takes any first sequence, as Kafka does.
 *
 * A state that a recovery restored may be behind the producer: batches that it was acknowledged came
 * after the last manifest. What is in the log is still recognised as a duplicate; what lies behind
 * it goes on, once.
 */
export function checkSequence(
  known: ProducerState | undefined,
  batch: NumberedBatch,
  mayLackState: boolean,
): SequenceVerdict {
  if (known === undefined) {
    return batch.baseSequence === 0 || mayLackState ? append : outOfOrder;
  }
  if (batch.producerEpoch < known.producerEpoch) return fencedEpoch;
  if (batch.producerEpoch > known.producerEpoch) {
    return batch.baseSequence === 0 || known.isRestored ? append : outOfOrder;
  }
  const original = findDuplicate(known.batches, batch);
  if (original !== undefined) return { kind: 'duplicate', original };
  const last = known.batches[known.batches.length - 1];
  if (last !== undefined && follows(last.lastSequence, batch.baseSequence)) return append;
  return known.isRestored && isBehind(known.batches, batch) ? append : outOfOrder;
}

/** What is known of the producer after `batch` was appended at `baseOffset`. */
export function appendToProducer(
  known: ProducerState | undefined,
  identity: { readonly partitionId: number; readonly producerId: number },
  batch: NumberedBatch & { readonly maxTimestampMs: number },
  baseOffset: number,
): ProducerState {
  const kept: KeptBatch = {
    baseSequence: batch.baseSequence,
    lastSequence: lastSequenceOf(batch),
    baseOffset,
    maxTimestampMs: batch.maxTimestampMs,
  };
  // A new epoch forgets the batches of the old one: their sequences would collide with its own.
  const earlier = known?.producerEpoch === batch.producerEpoch ? known.batches : [];
  return {
    partitionId: identity.partitionId,
    producerId: identity.producerId,
    producerEpoch: batch.producerEpoch,
    isRestored: false,
    batches: [...earlier.slice(-(limits.producerBatchesKept - 1)), kept],
  };
}

const sequencesTotal = 2 ** 31;

/**
 * Whether the batch comes after everything that is known, and not before it: sequences go round, so
 * the half of them in front of the last one is behind, as in serial number arithmetic (RFC 1982).
 */
function isBehind(batches: readonly KeptBatch[], batch: NumberedBatch): boolean {
  const last = batches[batches.length - 1];
  if (last === undefined) return true;
  const ahead = (batch.baseSequence - last.lastSequence + sequencesTotal) % sequencesTotal;
  return ahead > 0 && ahead < sequencesTotal / 2;
}

/** Sequences go from 2^31 − 1 to 0, also within a batch: DefaultRecordBatch.incrementSequence. */
export function lastSequenceOf(batch: NumberedBatch): number {
  return (batch.baseSequence + batch.recordCount - 1) % sequencesTotal;
}

/** Whether `batch` was sent some time after `lost`, in the same epoch. */
export function isSentBehind(batch: NumberedBatch, lost: NumberedBatch): boolean {
  if (batch.producerEpoch !== lost.producerEpoch) return false;
  const distance = (batch.baseSequence - lost.baseSequence + sequencesTotal) % sequencesTotal;
  return distance > 0 && distance < sequencesTotal / 2;
}

function follows(lastSequence: number, baseSequence: number): boolean {
  return baseSequence === (lastSequence + 1) % sequencesTotal;
}

function findDuplicate(batches: readonly KeptBatch[], batch: NumberedBatch): KeptBatch | undefined {
  const lastSequence = lastSequenceOf(batch);
  return batches.find(
    (kept) => kept.baseSequence === batch.baseSequence && kept.lastSequence === lastSequence,
  );
}
