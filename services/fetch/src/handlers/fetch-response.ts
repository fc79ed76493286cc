import { errorCodes, type FetchRequest, type FetchResponseInput } from '@kafscale/codec';
import type { Conclusion } from '../sessions/fetch-exchange.js';
import type { FetchPartition } from './fetch-partition.js';

type TopicResponse = NonNullable<FetchResponseInput['responses']>[number];
type PartitionResponse = NonNullable<TopicResponse['partitions']>[number];

const readCommitted = 1;

/** The response to what was concluded, in the order of the answers. */
export function fetchResponseOf(
  { errorCode, sessionId, answers }: Conclusion<FetchPartition>,
  request: FetchRequest,
): FetchResponseInput {
  // Null and empty mean the same to Kafka, but Kafka sends null only to read_uncommitted.
  const abortedTransactions: readonly [] | null =
    request.isolationLevel === readCommitted ? [] : null;
  const responses: { topic: string; topicId: string; partitions: PartitionResponse[] }[] = [];
  for (const answer of answers) {
    const { topic, topicId } = answer;
    let last = responses.at(-1);
    // As in FetchResponse.of: a topic comes again when others come in between.
    if (last === undefined || last.topic !== topic || last.topicId !== topicId) {
      last = { topic, topicId, partitions: [] };
      responses.push(last);
    }
    last.partitions.push(partitionResponseOf(answer, abortedTransactions));
  }
  return { errorCode, sessionId, responses };
}

function partitionResponseOf(
  { requested, errorCode, head, records }: FetchPartition,
  abortedTransactions: readonly [] | null,
): PartitionResponse {
  return {
    partitionIndex: requested.partition,
    errorCode,
    highWatermark: BigInt(head?.highWatermark ?? -1),
    // No transactions, so everything below the high watermark is stable.
    lastStableOffset: BigInt(head?.highWatermark ?? -1),
    logStartOffset: BigInt(head?.logStartOffset ?? -1),
    abortedTransactions,
    records: errorCode === errorCodes.NONE ? records : noRecords,
  };
}

const noRecords: readonly Buffer[] = [];
