import { errorCodes } from '@kafscale/codec';
import type { PartitionHead } from '@kafscale/cluster';
import type { PartitionRecords } from '../read/log-reader.js';
import { leaderEpochCode, readFailureCode } from '../read/partition-outcome.js';
import type { PartitionRead } from '../read/plan-reads.js';
import type { FetchReplica } from '../replica.js';
import type { RequestedPartition, WantedPartition } from '../sessions/session-partition.js';

/** One partition of a Fetch request on its way to its answer. */
export interface FetchPartition {
  /** Empty from version 13 on. */
  readonly topic: string;
  /** Zero before version 13. */
  readonly topicId: string;
  /** A session goes on to ask for other offsets; this stays. */
  readonly requested: RequestedPartition;
  /** −1: there is no such partition. */
  readonly partitionId: number;
  errorCode: number;
  /** As judged, and as the answer will say it: log start, high watermark. */
  head: PartitionHead | null;
  /** Set when there are records at the fetch offset. */
  read: PartitionRead | null;
  records: readonly Buffer[];
}

export function findPartition(
  replica: FetchReplica,
  { topic, topicId, requested }: WantedPartition,
): FetchPartition {
  const found = topic === '' ? replica.topicById(topicId) : replica.topicByName(topic);
  const partitionId = found?.partitions[requested.partition]?.partitionId ?? -1;
  return {
    topic,
    topicId,
    requested,
    partitionId,
    errorCode: 0,
    head: null,
    read: null,
    records: [],
  };
}

/** Judges the partition by its head of now; again after a wait, when it may have changed. */
export function judgePartition(
  replica: FetchReplica,
  partition: FetchPartition,
  replicaId: number,
): void {
  const head = copyHead(replica, partition.partitionId);
  partition.head = head;
  partition.read = null;
  partition.errorCode =
    head === null ? unknownCode(replica, partition) : judge(head, partition.requested, replicaId);
  if (head === null || partition.errorCode !== errorCodes.NONE) return;
  const { requested, partitionId } = partition;
  const offset = Number(requested.fetchOffset);
  if (offset === head.highWatermark) return;
  partition.read = {
    partitionId,
    offset,
    bytesMax: Math.max(0, requested.partitionMaxBytes),
    highWatermark: head.highWatermark,
    leaderEpoch: head.leaderEpoch,
  };
}

/** There is no such partition; or, if it was named by its topic's id, perhaps no such topic. */
function unknownCode(replica: FetchReplica, { topic, topicId }: FetchPartition): number {
  const isIdUnknown = topic === '' && replica.topicById(topicId) === undefined;
  return isIdUnknown ? errorCodes.UNKNOWN_TOPIC_ID : errorCodes.UNKNOWN_TOPIC_OR_PARTITION;
}

/** In Kafka's order: Partition.fetchRecords, then UnifiedLog.read. */
function judge(head: PartitionHead, requested: RequestedPartition, replicaId: number): number {
  const epochCode = leaderEpochCode(requested.currentLeaderEpoch, head.leaderEpoch);
  if (epochCode !== errorCodes.NONE) return epochCode;
  if (replicaId >= 0) return unknownFollowerCode(requested);
  // Beyond 2^53 the conversion is inexact, and out of range all the same.
  const offset = Number(requested.fetchOffset);
  return offset < head.logStartOffset || offset > head.highWatermark
    ? errorCodes.OFFSET_OUT_OF_RANGE
    : errorCodes.NONE;
}

/** Partition.followerReplicaOrThrow: whoever asks as a follower is not one of the replicas. */
function unknownFollowerCode({ currentLeaderEpoch }: RequestedPartition): number {
  return currentLeaderEpoch >= 0
    ? errorCodes.UNKNOWN_LEADER_EPOCH
    : errorCodes.NOT_LEADER_OR_FOLLOWER;
}

export function applyRecords(
  replica: FetchReplica,
  partition: FetchPartition,
  result: PartitionRecords,
): void {
  partition.records = result.chunks;
  if (result.failure === null) return;
  partition.errorCode = readFailureCode(replica, result.read, result.failure);
  partition.head = copyHead(replica, partition.partitionId);
}

/** The replica moves its heads in place. */
function copyHead(replica: FetchReplica, partitionId: number): PartitionHead | null {
  const head = replica.head(partitionId);
  return head === undefined ? null : { ...head };
}
