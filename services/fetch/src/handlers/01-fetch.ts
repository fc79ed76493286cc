import { errorCodes, type FetchRequest, type FetchResponseInput } from '@kafscale/codec';
import type { KafkaRequest } from '@kafscale/cluster';
import type { PreparedRead } from '../read/log-reader.js';
import { type PartitionRead, startWith } from '../read/plan-reads.js';
import { openExchange } from '../sessions/fetch-exchange.js';
import { invalidSessionId } from '../sessions/session-cache.js';
import type { HandlerContext } from './context.js';
import {
  applyRecords,
  type FetchPartition,
  findPartition,
  judgePartition,
} from './fetch-partition.js';
import { fetchResponseOf } from './fetch-response.js';
import { readIndex } from './read-index.js';

// Fetch, versions 4 to 18.
//
// - Whole batches, from the one that contains the offset; max_bytes and partition_max_bytes count
//   bytes as stored; the first partition with records gets at least one batch (KIP-74).
// - min_bytes and max_wait: answered at once when there is enough, an error, or nothing to wait for.
// - Every answer comes after a read index barrier that began after the request arrived.
// - v5: log start offset. v7: sessions (KIP-227), see sessions/fetch-exchange: what is wanted may be
//   more than the request names, and what is answered less than was wanted.
// - v9: current leader epoch (KIP-320). v11: rack, preferred replica (there is none).
// - v12: last fetched epoch, which consumers do not send. v13: topics are named by their ids (KIP-516); an
//   unknown one is UNKNOWN_TOPIC_ID. (INCONSISTENT_TOPIC_ID is for logs that were not deleted with their
//   topic: here there is none.) v16: where the leaders are, which is told with errors of brokers that
//   are not; here every front leads. v14, v15, v17, v18: of followers and tiered storage.
// - replica_id >= 0: nobody is a follower here; answered as Kafka answers an unknown replica.

/** Null: the connection has gone. */
export async function handleFetch(
  context: HandlerContext,
  envelope: KafkaRequest,
  request: FetchRequest,
  signal: AbortSignal,
): Promise<FetchResponseInput | null> {
  const exchange = openExchange(context.sessions, request, envelope.apiVersion);
  if ('errorCode' in exchange) {
    context.metrics.count('fetch_session_errors_total');
    return { errorCode: exchange.errorCode, sessionId: invalidSessionId, responses: [] };
  }
  const deadlineMs = context.clock.monotonicMs() + waitMs(context, request);
  const barrierCode = await readIndex(context, signal);
  const partitions = exchange.wanted.map((wanted) => findPartition(context.replica, wanted));
  if (barrierCode !== errorCodes.NONE) {
    for (const partition of partitions) partition.errorCode = barrierCode;
    return fetchResponseOf(exchange.conclude(partitions), request);
  }
  const { connectionId } = envelope;
  const wanted = { request, partitions, isInTurn: exchange.isInTurn, connectionId, deadlineMs };
  const prepared = await prepareEnough(context, wanted, signal);
  if (prepared === null) return null;
  await readRecords(context, wanted, prepared, signal);
  for (const { errorCode } of partitions) {
    if (errorCode !== errorCodes.NONE) countError(context, errorCode);
  }
  return fetchResponseOf(exchange.conclude(partitions), request);
}

interface Wanted {
  readonly request: FetchRequest;
  readonly partitions: readonly FetchPartition[];
  /** A session has put those first whose turn it is: to turn them once more would undo it. */
  readonly isInTurn: boolean;
  readonly connectionId: string;
  readonly deadlineMs: number;
}

function waitMs({ limits }: HandlerContext, { maxWaitMs }: FetchRequest): number {
  return Math.min(Math.max(0, maxWaitMs), limits.fetchWaitMsMax);
}

function responseBytesMax({ limits }: HandlerContext, { maxBytes }: FetchRequest): number {
  return Math.min(Math.max(0, maxBytes), limits.fetchResponseBytesMax);
}

/** Plans the read, waiting until there is enough of it or the wait is over. Null: aborted. */
async function prepareEnough(
  context: HandlerContext,
  wanted: Wanted,
  signal: AbortSignal,
): Promise<PreparedRead | null> {
  const { request, partitions } = wanted;
  const bytesMax = responseBytesMax(context, request);
  const bytesMin = Math.min(request.minBytes, bytesMax);
  let isWaiting = false;
  let isOver = false;
  for (;;) {
    const reads = judgeAll(context, wanted);
    const prepared = await context.reader.prepare(reads, bytesMax);
    if (signal.aborted) return null;
    const isError = prepared.failures.size > 0 || partitions.some((each) => each.errorCode !== 0);
    const isEnough = prepared.plan.bytes >= bytesMin;
    const timeoutMs = wanted.deadlineMs - context.clock.monotonicMs();
    if (isError || isEnough || partitions.length === 0) return prepared;
    if (isOver || timeoutMs <= 0) return prepared;
    // Lookups took a while: whatever was committed meanwhile has woken nobody.
    if (hasMoved(context, partitions)) continue;
    if (!isWaiting) context.metrics.count('fetch_long_polls_total');
    isWaiting = true;
    const reason = await context.waiters.wait({
      partitionIds: partitions.map(({ partitionId }) => partitionId),
      bytes: bytesMin - prepared.plan.bytes,
      timeoutMs,
      signal,
    });
    if (reason === 'aborted') return null;
    if (reason === 'timeout') isOver = true;
  }
}

function judgeAll(context: HandlerContext, wanted: Wanted): readonly PartitionRead[] {
  const reads: PartitionRead[] = [];
  for (const partition of wanted.partitions) {
    judgePartition(context.replica, partition, replicaIdOf(wanted.request));
    if (partition.read !== null) reads.push(partition.read);
  }
  if (wanted.isInTurn) return reads;
  return startWith(reads, context.readers.starved(wanted.connectionId));
}

/** Whoever is a replica says so elsewhere since version 15. */
function replicaIdOf({ replicaId, replicaState }: FetchRequest): number {
  return Math.max(replicaId, replicaState.replicaId);
}

function hasMoved(context: HandlerContext, partitions: readonly FetchPartition[]): boolean {
  return partitions.some(
    ({ partitionId, head }) =>
      context.replica.head(partitionId)?.highWatermark !== head?.highWatermark,
  );
}

async function readRecords(
  context: HandlerContext,
  wanted: Wanted,
  prepared: PreparedRead,
  signal: AbortSignal,
): Promise<void> {
  const { reader, readers, replica, metrics, lease } = context;
  if (prepared.plan.plans.length === 0 && prepared.failures.size === 0) return;
  const bytesMax = responseBytesMax(context, wanted.request);
  const result = await reader.read(prepared, { bytesMax, signal, holder: lease });
  // A row that is gone was below a log start that had been told before the row was deleted. It may
  // have been told after this request asked: who asks now hears of it, and says OUT_OF_RANGE.
  const isRowGone = result.partitions.some(({ failure }) => failure?.kind === 'noRow');
  if (isRowGone) await readIndex(context, signal);
  readers.setStarved(wanted.connectionId, wanted.isInTurn ? null : result.starvedPartitionId);
  const byRead = new Map(wanted.partitions.map((partition) => [partition.read, partition]));
  for (const records of result.partitions) {
    const partition = byRead.get(records.read);
    if (partition !== undefined) applyRecords(replica, partition, records);
    if (records.bytes === 0) continue;
    metrics.count('fetch_bytes_served_total', records.bytes);
    const { nextOffset, read } = records;
    const isBehind = nextOffset < read.highWatermark;
    const { connectionId } = wanted;
    const aheadBytes = readers.served(connectionId, { ...records, ...read, isBehind });
    if (aheadBytes > 0) reader.readAhead(connectionId, { ...read, offset: nextOffset }, aheadBytes);
  }
}

function countError({ metrics }: HandlerContext, errorCode: number): void {
  if (errorCode === errorCodes.OFFSET_OUT_OF_RANGE) metrics.count('fetch_out_of_range_total');
  if (errorCode === errorCodes.KAFKA_STORAGE_ERROR) metrics.count('fetch_partition_errors_total');
}
