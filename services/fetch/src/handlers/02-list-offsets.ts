import {
  errorCodes,
  type ListOffsetsRequest,
  type ListOffsetsResponseInput,
} from '@kafscale/codec';
import type { PartitionHead } from '@kafscale/cluster';
import { leaderEpochCode } from '../read/partition-outcome.js';
import type { SearchResult } from '../read/timestamp-search.js';
import type { HandlerContext } from './context.js';
import { readIndex } from './read-index.js';

// ListOffsets, versions 1 to 9.
//
// - -1 latest: the high watermark (there are no transactions, so for read_committed too).
// - -2 earliest: the log start. -4 (v8, KIP-405) earliest local: the same, nothing is tiered.
// - -3 (v7, KIP-734): the first record with the greatest timestamp.
// - -5 (v9, KIP-1005) latest tiered: none.
// - Any other negative one, or one newer than the version: UNSUPPORTED_VERSION, as in Kafka.
// - A time: the first record, in offset order, at or after it; offset -1 if there is none.
// - A partition that is named twice gets INVALID_REQUEST, as in Kafka.

const special = {
  latest: -1n,
  earliest: -2n,
  maxTimestamp: -3n,
  earliestLocal: -4n,
  latestTiered: -5n,
} as const;

/** ReplicaManager.timestampMinSupportedVersion */
const versionsSince = new Map<bigint, number>([
  [special.latest, 1],
  [special.earliest, 1],
  [special.maxTimestamp, 7],
  [special.earliestLocal, 8],
  [special.latestTiered, 9],
]);

type RequestedPartition = ListOffsetsRequest['topics'][number]['partitions'][number];

interface Answer {
  readonly errorCode?: number;
  readonly timestamp?: bigint;
  readonly offset?: bigint;
  readonly leaderEpoch?: number;
}

export interface ListOffsetsCall {
  readonly request: ListOffsetsRequest;
  readonly version: number;
  readonly signal: AbortSignal;
}

/** Null: the connection has gone. */
export async function handleListOffsets(
  context: HandlerContext,
  call: ListOffsetsCall,
): Promise<ListOffsetsResponseInput | null> {
  const { request, signal } = call;
  const barrierCode = await readIndex(context, signal);
  if (signal.aborted) return null;
  const duplicates = findDuplicates(request);
  const topics = request.topics.map(async ({ name, partitions }) => {
    const answers = partitions.map(async (requested) => {
      const { partitionIndex } = requested;
      if (barrierCode !== errorCodes.NONE) return { partitionIndex, errorCode: barrierCode };
      if (duplicates.has(keyOf(name, partitionIndex))) {
        return { partitionIndex, errorCode: errorCodes.INVALID_REQUEST };
      }
      const head = findHead(context, name, partitionIndex);
      const answer = await answerPartition(head, requested, { ...call, ...context });
      return { partitionIndex, ...answer };
    });
    return { name, partitions: await Promise.all(answers) };
  });
  const answered = await Promise.all(topics);
  return signal.aborted ? null : { topics: answered };
}

function findHead(
  { replica }: HandlerContext,
  topicName: string,
  partitionIndex: number,
): PartitionHead | undefined {
  const found = replica.topicByName(topicName)?.partitions[partitionIndex];
  const head = found === undefined ? undefined : replica.head(found.partitionId);
  // A copy: the replica moves its heads in place, and a search takes a while.
  return head === undefined ? undefined : { ...head };
}

type AnswerTools = ListOffsetsCall & HandlerContext;

async function answerPartition(
  head: PartitionHead | undefined,
  requested: RequestedPartition,
  tools: AnswerTools,
): Promise<Answer> {
  const { timestamp } = requested;
  const since = versionsSince.get(timestamp);
  if (timestamp < 0n && (since === undefined || tools.version < since)) {
    return { errorCode: errorCodes.UNSUPPORTED_VERSION };
  }
  if (head === undefined) return { errorCode: errorCodes.UNKNOWN_TOPIC_OR_PARTITION };
  const epochCode = leaderEpochCode(requested.currentLeaderEpoch, head.leaderEpoch);
  if (epochCode !== errorCodes.NONE) return { errorCode: epochCode };
  const { leaderEpoch, highWatermark, logStartOffset } = head;
  switch (timestamp) {
    case special.latest:
      return { offset: BigInt(highWatermark), leaderEpoch };
    case special.earliest:
    case special.earliestLocal:
      return { offset: BigInt(logStartOffset), leaderEpoch };
    case special.latestTiered:
      return {};
    default:
      if (logStartOffset === highWatermark) return {};
      return answerFound(
        await tools.searchGate.run(() => searchRecord(head, timestamp, tools)),
        head,
      );
  }
}

function searchRecord(
  head: PartitionHead,
  timestamp: bigint,
  { search, signal }: AnswerTools,
): Promise<SearchResult> {
  if (timestamp === special.maxTimestamp) return search.ofMaxTimestamp(head);
  // Beyond 2^53 no record can be: every stored timestamp is a safe integer.
  return search.atOrAfter(head, Number(timestamp), signal);
}

function answerFound(result: SearchResult, { leaderEpoch }: PartitionHead): Answer {
  if (result.kind === 'failed') return { errorCode: result.errorCode };
  if (result.record === null) return {};
  const { offset, timestampMs } = result.record;
  return { offset: BigInt(offset), timestamp: BigInt(timestampMs), leaderEpoch };
}

function findDuplicates(request: ListOffsetsRequest): ReadonlySet<string> {
  const seen = new Set<string>();
  const duplicates = new Set<string>();
  for (const { name, partitions } of request.topics) {
    for (const { partitionIndex } of partitions) {
      const key = keyOf(name, partitionIndex);
      if (seen.has(key)) duplicates.add(key);
      seen.add(key);
    }
  }
  return duplicates;
}

function keyOf(topicName: string, partitionIndex: number): string {
  return `${partitionIndex}/${topicName}`;
}
