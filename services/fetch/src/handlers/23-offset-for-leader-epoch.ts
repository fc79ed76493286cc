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
// - The current epoch ends at the high watermark, an earlier one where the next one begins: epochs rise
//   only with a recovery from the bucket, and that is where clients learn what it could not bring back.
// - An epoch that never was: the greatest one below it, and its end; later than all: (-1, -1). As in
//   Kafka's LeaderEpochFileCache.endOffsetFor.

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
  if (leaderEpoch === head.leaderEpoch) {
    return { leaderEpoch, endOffset: BigInt(head.highWatermark) };
  }
  const starts = head.leaderEpochs ?? [];
  const next = starts.find((start) => start.leaderEpoch > leaderEpoch);
  if (leaderEpoch < 0 || next === undefined) return { leaderEpoch: -1, endOffset: -1n };
  let found = 0; // begins at offset 0, without saying so
  for (const start of starts) {
    if (start.leaderEpoch <= leaderEpoch) found = start.leaderEpoch;
  }
  return { leaderEpoch: found, endOffset: BigInt(next.startOffset) };
}
