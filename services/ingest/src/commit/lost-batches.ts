import type { OpenSegment, SegmentBatch } from '../segment/open-segment.js';
import { firstLoss, isSentBehind } from './first-loss.js';

/**
 * Remembers what must not be written because a batch before it was lost.
 *
 * A producer has up to five batches in flight, and they may lie in several segments of this node.
 * When the segment of batch 1 is lost, batches 2 to 5 in later segments must be lost too: where the
 * partition has no state for the producer the commit may accept any first sequence, so batch 2 would
 * be written and batch 1 shut out for ever. Only segments that already exist are concerned: what
 * arrives after the answer, and may have been sent before it, is the business of LostSequences.
 *
 * By sequence, and only up to where the lost batch comes again: a client may repeat batch 1 before it
 * has heard of batch 2. If all of its batches were lost with 2, the repetition of 1 would be as well,
 * that of 2 with that of 1, and so on for ever.
 */
export class LostBatches {
  /** What to exclude, by the segment that holds it. */
  readonly #lost = new Map<OpenSegment, Set<SegmentBatch>>();

  /**
   * `lost` will not be written; neither may what their producers sent behind them, as far as it is in
   * `segments`: those from the loss on, in the order of their commits, and complete.
   */
  add(lost: Iterable<SegmentBatch>, segments: readonly OpenSegment[]): void {
    const losses = firstLosses(lost);
    for (const segment of segments) {
      for (const [partitionId, producers] of losses) {
        const { batches = [] } = segment.partitions.get(partitionId) ?? {};
        for (const batch of batches) {
          const loss = producers.get(batch.producerId);
          if (loss === undefined || loss === batch) continue;
          if (isSentBehind(batch, loss)) this.#exclude(segment, batch);
          else if (isSameBatch(batch, loss)) producers.delete(batch.producerId);
        }
      }
    }
  }

  isLost(segment: OpenSegment, batch: SegmentBatch): boolean {
    return this.#lost.get(segment)?.has(batch) ?? false;
  }

  /** The segment is settled; nothing more will be asked about it. */
  forget(segment: OpenSegment): void {
    this.#lost.delete(segment);
  }

  get size(): number {
    return this.#lost.size;
  }

  #exclude(segment: OpenSegment, batch: SegmentBatch): void {
    const excluded = this.#lost.get(segment);
    if (excluded === undefined) this.#lost.set(segment, new Set([batch]));
    else excluded.add(batch);
  }
}

/** By partition and producer. */
function firstLosses(lost: Iterable<SegmentBatch>): Map<number, Map<number, SegmentBatch>> {
  const losses = new Map<number, Map<number, SegmentBatch>>();
  for (const batch of lost) {
    if (batch.producerId < 0) continue;
    const { partitionId } = batch.partition;
    const producers = losses.get(partitionId) ?? new Map<number, SegmentBatch>();
    producers.set(batch.producerId, firstLoss(producers.get(batch.producerId), batch));
    losses.set(partitionId, producers);
  }
  return losses;
}

function isSameBatch(batch: SegmentBatch, other: SegmentBatch): boolean {
  return batch.producerEpoch === other.producerEpoch && batch.baseSequence === other.baseSequence;
}
