import { limits } from '@kafscale/core';
import { firstLoss, isSentBehind } from '../commit/first-loss.js';
import type { SequencedBatch } from '../commit/first-loss.js';

/** A lost batch, and how many may still come that were sent before the client heard of it. */
interface Loss extends SequencedBatch {
  followersLeft: number;
}

/**
 * Remembers, per connection, which batch of a producer was lost first, for the batches that are on the
 * wire behind it.
 *
 * The order of events: the client sends batches 1 and 2. Batch 1 arrives, its segment fails, and it is
 * answered "not written". Only then batch 2 arrives: it was sent before that answer was read. Segments
 * that existed at the failure are dealt with by LostBatches; this one did not. Where the partition may
 * lack the producer's state the commit would take batch 2 as the first, and shut batch 1 out for ever.
 *
 * So until batch 1 comes again, or the producer begins another epoch, what comes is lost as well. With
 * at most 5 requests in flight (KIP-98) at most 4 are behind it; after as many the memory ends, so that
 * a client that never repeats what it lost is not refused for ever. A new connection starts without any.
 */
export class LostSequences {
  /** Oldest first. */
  readonly #losses = new Map<string, Loss>();
  readonly #lossesMax: number;

  constructor(lossesMax: number = limits.lostSequencesMax) {
    this.#lossesMax = lossesMax;
  }

  get size(): number {
    return this.#losses.size;
  }

  /** The batch was answered "not written", or nobody can tell; only the first one counts. */
  add(connectionId: string, partitionId: number, batch: SequencedBatch): void {
    const { baseSequence, producerEpoch, producerId } = batch;
    if (producerId < 0) return;
    const key = keyOf(connectionId, partitionId, producerId);
    const followersLeft = limits.producerBatchesKept - 1;
    const known = this.#losses.get(key);
    const loss = { producerId, producerEpoch, baseSequence, followersLeft };
    if (known !== undefined && firstLoss<SequencedBatch>(known, loss) === known) return;
    this.#losses.delete(key);
    this.#losses.set(key, loss);
    if (this.#losses.size <= this.#lossesMax) return;
    for (const oldest of this.#losses.keys()) {
      this.#losses.delete(oldest);
      return;
    }
  }

  /** Whether the batch was sent behind a lost one, and must be answered like it. */
  followsLoss(connectionId: string, partitionId: number, batch: SequencedBatch): boolean {
    if (this.#losses.size === 0 || batch.producerId < 0) return false;
    const key = keyOf(connectionId, partitionId, batch.producerId);
    const loss = this.#losses.get(key);
    if (loss === undefined) return false;
    const isFollower = isSentBehind(batch, loss);
    if (isFollower) loss.followersLeft -= 1;
    // The loss itself comes again, or the producer has begun another epoch.
    const isOver =
      batch.producerEpoch !== loss.producerEpoch || batch.baseSequence === loss.baseSequence;
    if (isOver || loss.followersLeft === 0) this.#losses.delete(key);
    return isFollower;
  }
}

function keyOf(connectionId: string, partitionId: number, producerId: number): string {
  return `${partitionId}/${producerId}/${connectionId}`;
}
