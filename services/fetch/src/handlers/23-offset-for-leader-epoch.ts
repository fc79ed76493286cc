import {
  errorCodes,
  type OffsetForLeaderEpochRequest,
  type OffsetForLeaderEpochResponseInput,
} from '@kafscale/codec';
import type { PartitionHead } from '@kafscale/cluster';
import { leaderEpochCode } from '../read/partition-outcome.js';
import type { HandlerContext } from './context.js';
import { readIndex } from './read-index.js';

// OffsetForLeaderEpoch, versions 2 to 4 (KIP-320).
//
// - The current epoch ends at the high watermark; an epoch that was never is answered (-1, -1).
// - Where an earlier epoch ended is not known to the feed yet: (-1, -1) as well. Epochs rise only
//   with a recovery, which is what will have to say it.

/** Null: the connection has gone. */
export async function handleOffsetForLeaderEpoch(
  context: HandlerContext,
  request: OffsetForLeaderEpochRequest,
  signal: AbortSignal,
): Promise<OffsetForLeaderEpochResponseInput | null> {
  const barrierCode = await readIndex(context, signal);
  if (signal.aborted) return null;
  return {
    topics: request.topics.map(({ topic, partitions }) => ({
      topic,
      partitions: partitions.map(({ partition, currentLeaderEpoch, leaderEpoch }) => {
        if (barrierCode !== errorCodes.NONE) return { partition, errorCode: barrierCode };
        const found = context.replica.topicByName(topic)?.partitions[partition];
        const head = found === undefined ? undefined : context.replica.head(found.partitionId);
        if (head === undefined) {
          return { partition, errorCode: errorCodes.UNKNOWN_TOPIC_OR_PARTITION };
        }
        const errorCode = leaderEpochCode(currentLeaderEpoch, head.leaderEpoch);
        if (errorCode !== errorCodes.NONE) return { partition, errorCode };
        return { partition, ...endOfEpoch(head, leaderEpoch) };
      }),
    })),
  };
}

function endOfEpoch(
  head: PartitionHead,
  leaderEpoch: number,
): { leaderEpoch: number; endOffset: bigint } {
  return leaderEpoch === head.leaderEpoch
    ? { leaderEpoch, endOffset: BigInt(head.highWatermark) }
    : { leaderEpoch: -1, endOffset: -1n };
}
