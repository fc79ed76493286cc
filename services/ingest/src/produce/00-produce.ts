/**
 * Produce (key 0), versions 3 to 12.
 *
 * Versions 0 to 2 carry message formats older than v2. They are advertised, because librdkafka up
 * to 2.11 decides by them whether it may compress (KAFKA-18659), and refused by closing the
 * connection, as Kafka 4 does.
 *
 * - acks: −1 and 1 wait for the commit alike; 0 has no response; others INVALID_REQUIRED_ACKS.
 * - A transactional id or a transactional batch: TRANSACTIONAL_ID_AUTHORIZATION_FAILED (no retry).
 * - Batches are opaque: the 61-byte header is checked here, the CRC in the sealing thread.
 * - Topics are never created here; Metadata does that.
 */
import {
  emptyBatchHeader,
  errorCodes,
  produceRequest,
  validateProducedRecords,
} from '@kafscale/codec';
import type { ProduceRequest } from '@kafscale/codec';
import { invariant, isOperatingError } from '@kafscale/core';
import type { ByteBudget, Clock } from '@kafscale/core';
import type { KafkaReply, KafkaRequest, RequestMemory, TopicState } from '@kafscale/cluster';
import type { IngestLog, IngestMetrics } from '../observability.js';
import type { SegmentPipeline } from '../segment/segment-pipeline.js';
import type { ConnectionOrder } from './connection-order.js';
import { LostSequences } from './lost-sequences.js';
import { PendingProduce } from './pending-produce.js';
import type { PartitionAnswer } from './pending-produce.js';
import type { ProduceThrottle } from './produce-throttle.js';

/** What ingest knows of topics: the feed's replica. */
export interface TopicDirectory {
  topicByName(name: string): TopicState | undefined;
  /** Resolves when the directory shows everything that was committed before the call. */
  barrier(): Promise<void>;
}

export interface ProduceOptions {
  readonly topics: TopicDirectory;
  readonly pipeline: SegmentPipeline;
  readonly order: ConnectionOrder;
  readonly budget: ByteBudget;
  readonly throttle: ProduceThrottle;
  readonly clock: Clock;
  readonly log: IngestLog;
  readonly metrics: IngestMetrics;
}

const versionMin = 3;

export class ProduceHandler {
  readonly #options: ProduceOptions;
  /** Filled anew for every batch; whoever keeps a field copies it. */
  readonly #header = emptyBatchHeader();
  readonly #lost = new LostSequences();

  constructor(options: ProduceOptions) {
    this.#options = options;
  }

  handle(request: KafkaRequest): Promise<KafkaReply> {
    if (request.apiVersion < versionMin) {
      const reason = `Produce version ${request.apiVersion} is not supported, as in Kafka 4`;
      return Promise.resolve({ kind: 'close', reason });
    }
    const produce = produceRequest.decode(request.body, request.apiVersion);
    const pending = new PendingProduce(produce, request, this.#lost, this.#options.throttle);
    this.#options.order.run(request.connectionId, () => {
      const refusal = refusalOfAll(produce);
      if (refusal !== errorCodes.NONE) {
        pending.refuseAll(refusal);
        pending.admitted();
        return undefined;
      }
      return this.#admit(produce, pending, request);
    });
    if (!pending.isAdmitted) pending.waits(recordBytes(produce));
    return pending.reply;
  }

  /** Waits for memory, unknown topics and lanes if it must, then appends; undefined when it need not. */
  #admit(
    produce: ProduceRequest,
    pending: PendingProduce,
    { apiVersion, connectionId, memory: ownMemory }: KafkaRequest,
  ): Promise<void> | undefined {
    const { budget, topics } = this.#options;
    // With acks=0 the front counts a request no longer once it is admitted, and the budget here counts
    // records only: 8 MiB that hold one small batch would be held without counting anywhere.
    const memory = produce.acks === 0 ? undefined : ownMemory;
    const bytes = recordBytes(produce);
    const known = produce.topicData.every((topic) => topics.topicByName(topic.name) !== undefined);
    const admission = { produce, pending, apiVersion, connectionId, memory, bytes };
    if (known && this.#laneChange(produce) === undefined && budget.tryTake(bytes)) {
      this.#append(admission);
      return undefined;
    }
    return this.#admitLater(admission, known);
  }

  async #admitLater(admission: Admission, known: boolean): Promise<void> {
    const { log, topics } = this.#options;
    if (!known) {
      try {
        await topics.barrier();
      } catch (error) {
        if (!isOperatingError(error)) throw error;
        log.warn({ code: error.code }, 'a produce could not learn of its topic');
        admission.pending.refuseAll(errorCodes.LEADER_NOT_AVAILABLE);
        admission.pending.admitted();
        return;
      }
    }
    await this.#takeMemory(admission);
    // Again and again: while it waits for one partition, another can change its lane.
    for (;;) {
      const change = this.#laneChange(admission.produce);
      if (change === undefined) break;
      await change();
    }
    this.#append(admission);
  }

  async #takeMemory({ bytes }: Admission): Promise<void> {
    const { budget, clock, metrics, pipeline, throttle } = this.#options;
    if (budget.tryTake(bytes)) return;
    const sinceMs = clock.monotonicMs();
    const taken = budget.take(bytes);
    throttle.memoryIsShort();
    pipeline.relieve();
    await taken;
    metrics.produceWaited(clock.monotonicMs() - sinceMs);
  }

  /** Of the first partition that has to change its lane (see SegmentPipeline). */
  #laneChange(produce: ProduceRequest): (() => Promise<void>) | undefined {
    const { pipeline, topics } = this.#options;
    if (!pipeline.hasSeveralLanes) return undefined;
    for (const { name, partitionData } of produce.topicData) {
      const topic = topics.topicByName(name);
      if (topic === undefined) continue;
      for (const { index } of partitionData) {
        const partition = topic.partitions[index];
        if (partition === undefined) continue;
        const change = pipeline.laneChange(partition.partitionId, topic.settings.flushMs);
        if (change !== undefined) return change;
      }
    }
    return undefined;
  }

  #append(admission: Admission): void {
    const { budget, clock, metrics, topics } = this.#options;
    const { produce, pending } = admission;
    const nowMs = clock.monotonicMs();
    let appendedBytes = 0;
    let batches = 0;
    for (const [topicIndex, data] of produce.topicData.entries()) {
      const topic = topics.topicByName(data.name);
      for (const [partitionIndex, { records }] of data.partitionData.entries()) {
        const answer = pending.topics[topicIndex]?.partitions[partitionIndex];
        if (answer === undefined) continue;
        const refusal = this.#appendPartition(topic, answer, records, { admission, nowMs });
        if (refusal === errorCodes.NONE) {
          appendedBytes += records?.length ?? 0;
          batches += 1;
        } else {
          metrics.produceRefused(refusal);
          answer.settled({ kind: 'refused', errorCode: refusal, logStartOffset: -1 });
        }
      }
    }
    budget.give(admission.bytes - appendedBytes);
    metrics.produceAdmitted(batches, appendedBytes);
    pending.admitted();
  }

  /** The ladder for one partition. Returns NONE when the batch is in the open segment. */
  #appendPartition(
    topic: TopicState | undefined,
    answer: PartitionAnswer,
    records: Buffer | null,
    { admission, nowMs: arrivedAtMs }: { admission: Admission; nowMs: number },
  ): number {
    const { clock, pipeline } = this.#options;
    const { apiVersion, connectionId, memory, produce } = admission;
    const partition = topic?.partitions[answer.index];
    if (topic === undefined || partition === undefined) {
      return errorCodes.UNKNOWN_TOPIC_OR_PARTITION;
    }
    const { settings } = topic;
    const nowMs = clock.wallMs();
    const isLogAppendTime = settings.timestampType === 'LogAppendTime';
    const errorCode = validateProducedRecords(
      records,
      {
        produceVersion: apiVersion,
        messageBytesMax: settings.messageBytesMax,
        timestampMsMin: nowMs - settings.timestampBeforeMsMax,
        timestampMsMax: nowMs + settings.timestampAfterMsMax,
        isLogAppendTime,
      },
      this.#header,
    );
    if (errorCode !== errorCodes.NONE) return errorCode;
    invariant(records !== null, 'valid records are there');
    const header = this.#header;
    if (this.#lost.followsLoss(connectionId, partition.partitionId, header)) {
      return errorCodes.KAFKA_STORAGE_ERROR;
    }
    answer.partitionId = partition.partitionId;
    answer.producerId = header.producerId;
    answer.producerEpoch = header.producerEpoch;
    answer.baseSequence = header.baseSequence;
    if (isLogAppendTime) answer.logAppendTimeMs = BigInt(nowMs);
    pipeline.append({
      target: {
        partitionId: partition.partitionId,
        topicId: topic.topicId,
        partitionIndex: answer.index,
      },
      records,
      memory,
      header: this.#header,
      logAppendTimeMs: isLogAppendTime ? nowMs : -1,
      listener: answer,
      flushMs: settings.flushMs,
      timeoutMs: produce.timeoutMs,
      arrivedAtMs,
    });
    return errorCodes.NONE;
  }
}

interface Admission {
  readonly produce: ProduceRequest;
  readonly pending: PendingProduce;
  readonly apiVersion: number;
  readonly connectionId: string;
  /** Of the request, where it may be held. */
  readonly memory: RequestMemory | undefined;
  readonly bytes: number;
}

function refusalOfAll(produce: ProduceRequest): number {
  if (produce.acks < -1 || produce.acks > 1) return errorCodes.INVALID_REQUIRED_ACKS;
  if (produce.transactionalId !== null) return errorCodes.TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
  return errorCodes.NONE;
}

function recordBytes(produce: ProduceRequest): number {
  let bytes = 0;
  for (const topic of produce.topicData) {
    for (const partition of topic.partitionData) bytes += partition.records?.length ?? 0;
  }
  return bytes;
}
