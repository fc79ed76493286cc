import { errorCodes, produceResponse } from '@kafscale/codec';
import type { ProduceRequest } from '@kafscale/codec';
import { invariant } from '@kafscale/core';
import type { KafkaReply, KafkaRequest } from '@kafscale/cluster';
import type { BatchListener, BatchOutcome } from '../segment/open-segment.js';
import type { LostSequences } from './lost-sequences.js';
import type { ProduceThrottle } from './produce-throttle.js';

/** The answer to one partition of a Produce request, as it comes in. */
class PartitionAnswer implements BatchListener {
  readonly index: number;
  // Of its batch, once that is appended: what LostSequences knows it by.
  partitionId = -1;
  producerId = -1;
  producerEpoch = -1;
  baseSequence = -1;
  errorCode = errorCodes.NONE as number;
  baseOffset = -1n;
  logAppendTimeMs = -1n;
  logStartOffset = -1n;
  readonly #owner: PendingProduce;

  constructor(owner: PendingProduce, index: number) {
    this.#owner = owner;
    this.index = index;
  }

  settled(outcome: BatchOutcome): void {
    if (isLoss(outcome)) this.#owner.partitionLost(this);
    if (outcome.kind === 'unknown') return this.#owner.partitionUnknown();
    this.logStartOffset = BigInt(outcome.logStartOffset);
    if (outcome.kind === 'written') this.baseOffset = BigInt(outcome.baseOffset);
    else this.errorCode = outcome.errorCode;
    if (this.errorCode !== 0) this.logAppendTimeMs = -1n;
    this.#owner.partitionSettled();
  }
}

export type { PartitionAnswer };

/** A Produce request between its admission and its last partition's answer. */
export class PendingProduce {
  readonly topics: { readonly name: string; readonly partitions: PartitionAnswer[] }[];
  readonly reply: Promise<KafkaReply>;
  readonly #apiVersion: number;
  readonly #acks: number;
  readonly #connectionId: string;
  readonly #lost: LostSequences;
  readonly #throttle: ProduceThrottle;
  #isAdmitted = false;
  /** Of records, if it was not admitted at once. */
  #waitingBytes = 0;
  #open: number;
  #resolve: (reply: KafkaReply) => void = () => undefined;

  constructor(
    request: ProduceRequest,
    envelope: Pick<KafkaRequest, 'apiVersion' | 'connectionId'>,
    lost: LostSequences,
    throttle: ProduceThrottle,
  ) {
    this.#apiVersion = envelope.apiVersion;
    this.#connectionId = envelope.connectionId;
    this.#lost = lost;
    this.#throttle = throttle;
    this.#acks = request.acks;
    this.reply = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#open = 1; // the admission itself: see admitted()
    this.topics = request.topicData.map((topic) => ({
      name: topic.name,
      partitions: topic.partitionData.map(({ index }) => {
        this.#open += 1;
        return new PartitionAnswer(this, index);
      }),
    }));
  }

  /** Every partition has been refused or appended. acks=0 is answered now, by silence. */
  admitted(): void {
    this.#isAdmitted = true;
    this.#throttle.admitted(this.#waitingBytes);
    if (this.#acks === 0) {
      const failed = this.topics.some((topic) => topic.partitions.some((p) => p.errorCode !== 0));
      this.#resolve(failed ? closeUnanswerable : { kind: 'none' });
    }
    this.partitionSettled();
  }

  get isAdmitted(): boolean {
    return this.#isAdmitted;
  }

  /** It was not admitted at once: its client is told to slow down, if that is for want of memory. */
  waits(bytes: number): void {
    this.#waitingBytes = bytes;
    this.#throttle.waits(bytes);
  }

  refuseAll(errorCode: number): void {
    for (const topic of this.topics) {
      for (const partition of topic.partitions) {
        partition.settled({ kind: 'refused', errorCode, logStartOffset: -1 });
      }
    }
  }

  partitionSettled(): void {
    this.#open -= 1;
    invariant(this.#open >= 0, 'a partition is answered once');
    if (this.#open === 0 && this.#acks !== 0) this.#resolve(this.#encode());
  }

  partitionLost(partition: PartitionAnswer): void {
    this.#lost.add(this.#connectionId, partition.partitionId, partition);
  }

  /** P4: nobody knows whether it was written, so the client must find out by itself. */
  partitionUnknown(): void {
    this.#resolve({ kind: 'close', reason: 'the outcome of a produce is unknown' });
  }

  #encode(): KafkaReply {
    const chunks = produceResponse.encode(
      {
        responses: this.topics.map(({ name, partitions }) => ({
          name,
          partitionResponses: partitions.map((partition) => ({
            index: partition.index,
            errorCode: partition.errorCode,
            baseOffset: partition.baseOffset,
            logAppendTimeMs: partition.logAppendTimeMs,
            logStartOffset: partition.logStartOffset,
          })),
        })),
        throttleTimeMs: this.#waitingBytes > 0 ? this.#throttle.timeMs() : 0,
      },
      this.#apiVersion,
    );
    return { kind: 'response', chunks };
  }
}

/** Kafka closes the connection when an acks=0 request fails: there is no other way to tell. */
const closeUnanswerable: KafkaReply = { kind: 'close', reason: 'an acks=0 produce was refused' };

/** The batch may be missing in the log, and its producer will send it again. */
function isLoss(outcome: BatchOutcome): boolean {
  if (outcome.kind !== 'refused') return outcome.kind === 'unknown';
  const { errorCode } = outcome;
  return errorCode === errorCodes.KAFKA_STORAGE_ERROR || errorCode === errorCodes.CORRUPT_MESSAGE;
}
