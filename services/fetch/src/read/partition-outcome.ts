import { errorCodes } from '@kafscale/codec';
import type { FetchReplica } from '../replica.js';

/** Why nothing can be read at an offset that the head says is there. */
export type ReadFailure =
  /** The object is lost or damaged, or the store does not answer. */
  | { readonly kind: 'storage'; readonly reason: string }
  /** The index has no row for the offset. */
  | { readonly kind: 'noRow' }
  /** The owner of the index does not answer. */
  | { readonly kind: 'index'; readonly reason: string };

/**
 * Kafka's error for a failed read. Retention or a deletion may have run since the head was read:
 * then that is the answer, and nothing is wrong.
 */
export function readFailureCode(
  replica: FetchReplica,
  at: { readonly partitionId: number; readonly offset: number },
  failure: ReadFailure,
): number {
  const head = replica.head(at.partitionId);
  if (head === undefined) return errorCodes.UNKNOWN_TOPIC_OR_PARTITION;
  if (at.offset < head.logStartOffset) return errorCodes.OFFSET_OUT_OF_RANGE;
  // Both make clients refresh their metadata and try again.
  return failure.kind === 'index'
    ? errorCodes.NOT_LEADER_OR_FOLLOWER
    : errorCodes.KAFKA_STORAGE_ERROR;
}

/** KIP-320: what a client's idea of the current leader epoch deserves. */
export function leaderEpochCode(requestEpoch: number, currentEpoch: number): number {
  if (requestEpoch < 0) return errorCodes.NONE;
  if (requestEpoch < currentEpoch) return errorCodes.FENCED_LEADER_EPOCH;
  return requestEpoch > currentEpoch ? errorCodes.UNKNOWN_LEADER_EPOCH : errorCodes.NONE;
}
