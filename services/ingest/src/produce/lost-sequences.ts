import { limits } from '@kafscale/core';

/** What a batch of an idempotent producer is known by on its way in. */
export interface NumberedBatch {
  readonly partitionId: number;
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
}

interface Loss {
  readonly producerEpoch: number;
  readonly baseSequence: number;
  /** How many batches may still come that were sent before the client heard of the loss. */
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
  add(connectionId: string, batch: NumberedBatch): void {
    if (batch.producerId < 0) return;
    const key = keyOf(connectionId, batch);
    const known = this.#losses.get(key);
    if (known !== undefined && known.producerEpoch === batch.producerEpoch) return;
    this.#losses.delete(key);
    const { baseSequence, producerEpoch } = batch;
    const followersLeft = limits.producerBatchesKept - 1;
    this.#losses.set(key, { baseSequence, producerEpoch, followersLeft });
    if (this.#losses.size <= this.#lossesMax) return;
    for (const oldest of this.#losses.keys()) {
      this.#losses.delete(oldest);
      return;
    }
  }

  /** Whether the batch was sent behind a lost one, and must be answered like it. */
  followsLoss(
    connectionId: string,
    batch: Omit<NumberedBatch, 'partitionId'>,
    partitionId: number,
  ): boolean {
    if (this.#losses.size === 0 || batch.producerId < 0) return false;
    const key = keyOf(connectionId, { partitionId, producerId: batch.producerId });
    const loss = this.#losses.get(key);
    if (loss === undefined) return false;
    const isFollower =
      loss.producerEpoch === batch.producerEpoch && loss.baseSequence !== batch.baseSequence;
    loss.followersLeft -= 1;
    if (!isFollower || loss.followersLeft === 0) this.#losses.delete(key);
    return isFollower;
  }
}

function keyOf(
  connectionId: string,
  { partitionId, producerId }: Pick<NumberedBatch, 'partitionId' | 'producerId'>,
): string {
  return `${partitionId}/${producerId}/${connectionId}`;
}
