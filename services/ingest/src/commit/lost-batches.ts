import type { OpenSegment, SegmentBatch } from '../segment/open-segment.js';

/**
 * Remembers which producers lost a batch with a segment that failed for good.
 *
 * A producer has up to five batches in flight, and they may lie in several segments of this node.
 * When the segment of batch 1 is lost, batches 2 to 5 in later segments must be lost too: where the
 * partition has no state for the producer the commit may accept any first sequence, so batch 2 would
 * be written and batch 1 shut out for ever. Only segments that already exist are concerned: what
 * arrives after the answer, and may have been sent before it, is the business of LostSequences.
 */
export class LostBatches {
  /** Segments that hold batches to exclude, with the (partition, producer) pairs concerned. */
  readonly #lost = new Map<OpenSegment, Set<string>>();

  /** `lost` will not be written; neither may their producers' batches in `segments`. */
  add(lost: Iterable<SegmentBatch>, segments: readonly OpenSegment[]): void {
    const producers = new Set<string>();
    for (const batch of lost) if (batch.producerId >= 0) producers.add(producerKey(batch));
    this.#mark(producers, segments);
  }

  /** The whole of `segment` is lost, and with it what was already excluded from it. */
  addSegment(segment: OpenSegment, later: readonly OpenSegment[]): void {
    for (const partition of segment.partitions.values()) this.add(partition.batches, later);
    this.#mark(this.#lost.get(segment) ?? new Set(), later);
  }

  isLost(segment: OpenSegment, batch: SegmentBatch): boolean {
    return this.#lost.get(segment)?.has(producerKey(batch)) ?? false;
  }

  /** The segment is settled; nothing more will be asked about it. */
  forget(segment: OpenSegment): void {
    this.#lost.delete(segment);
  }

  get size(): number {
    return this.#lost.size;
  }

  #mark(producers: ReadonlySet<string>, segments: readonly OpenSegment[]): void {
    if (producers.size === 0) return;
    for (const segment of segments) {
      const known = this.#lost.get(segment);
      if (!known) this.#lost.set(segment, new Set(producers));
      else for (const key of producers) known.add(key);
    }
  }
}

function producerKey(batch: SegmentBatch): string {
  return `${batch.partition.partitionId}:${batch.producerId}`;
}
