import type { BatchCommit } from '@kafscale/cluster';

interface BatchMetadata {
  readonly lastSeq: number;
  readonly lastOffset: number;
  readonly offsetDelta: number;
}

interface Entry {
  epoch: number;
  readonly batchMetadata: BatchMetadata[];
}

const intMax = 2 ** 31 - 1;

/**
 * A partition as one Kafka 4 leader keeps it: UnifiedLog.analyzeAndValidateProducerState with
 * ProducerStateEntry and ProducerAppendInfo, one batch at a time, kept in Kafka's own terms (last
 * sequence and offset delta, increments that wrap by cases), so that it shares no arithmetic with
 * what it checks. Plus the two rules that are not Kafka's: the first sequence, and excluded batches.
 */
export class KafkaPartitionModel {
  /** One item per record. */
  readonly log: BatchCommit[] = [];
  readonly #entries = new Map<number, Entry>();
  readonly #floor: number;
  readonly #lostInCall = new Map<number, BatchCommit>();

  constructor(producerStateFloor: number) {
    this.#floor = producerStateFloor;
  }

  /** A batch that is excluded takes with it what its producer sent behind it, in the same call. */
  beginCall(): void {
    this.#lostInCall.clear();
  }

  /** The base offset, or the negated error code. */
  append(batch: BatchCommit): number {
    if (this.#isLost(batch)) return -56;
    if (batch.producerId === -1) return this.#write(batch);
    const entry = this.#entries.get(batch.producerId);
    const duplicate = entry === undefined ? undefined : findDuplicateBatch(entry, batch);
    if (duplicate !== undefined) return duplicate.lastOffset - duplicate.offsetDelta;
    const error = this.#check(entry, batch);
    return error === 0 ? this.#write(batch) : -error;
  }

  #isLost(batch: BatchCommit): boolean {
    const lost = this.#lostInCall.get(batch.producerId);
    const isBehind = lost !== undefined && isLater(batch, lost);
    if (batch.excluded) {
      if (!isBehind) this.#lostInCall.set(batch.producerId, batch);
      return true;
    }
    if (batch.producerId === -1) return false;
    if (lost?.baseSequence === batch.baseSequence) this.#lostInCall.delete(batch.producerId);
    return isBehind;
  }

  /** What the producer would send next in this epoch. */
  nextSequence(producerId: number, epoch: number): number {
    const entry = this.#entries.get(producerId);
    if (entry === undefined || entry.epoch !== epoch) return 0;
    return increment(entry.batchMetadata.at(-1)!.lastSeq, 1);
  }

  /** The numbers of a batch that is still remembered: the oldest. */
  anyKeptBatch(
    producerId: number,
  ): Pick<BatchCommit, 'producerEpoch' | 'baseSequence' | 'recordCount'> | undefined {
    const entry = this.#entries.get(producerId);
    const [oldest] = entry?.batchMetadata ?? [];
    if (entry === undefined || oldest === undefined) return undefined;
    return {
      producerEpoch: entry.epoch,
      baseSequence: firstSeq(oldest),
      recordCount: oldest.offsetDelta + 1,
    };
  }

  #check(entry: Entry | undefined, batch: BatchCommit): number {
    if (entry === undefined) {
      return batch.baseSequence !== 0 && batch.producerId > this.#floor ? 45 : 0;
    }
    if (batch.producerEpoch < entry.epoch) return 47;
    if (batch.producerEpoch !== entry.epoch) return batch.baseSequence === 0 ? 0 : 45;
    const { lastSeq } = entry.batchMetadata.at(-1)!;
    const inSequence =
      batch.baseSequence === lastSeq + 1 || (batch.baseSequence === 0 && lastSeq === intMax);
    return inSequence ? 0 : 45;
  }

  #write(batch: BatchCommit): number {
    const baseOffset = this.log.length;
    for (let record = 0; record < batch.recordCount; record += 1) this.log.push(batch);
    if (batch.producerId === -1) return baseOffset;
    let entry = this.#entries.get(batch.producerId);
    if (entry === undefined) {
      entry = { epoch: batch.producerEpoch, batchMetadata: [] };
      this.#entries.set(batch.producerId, entry);
    }
    if (entry.epoch !== batch.producerEpoch) {
      entry.batchMetadata.length = 0;
      entry.epoch = batch.producerEpoch;
    }
    if (entry.batchMetadata.length === 5) entry.batchMetadata.shift();
    entry.batchMetadata.push({
      lastSeq: increment(batch.baseSequence, batch.recordCount - 1),
      lastOffset: this.log.length - 1,
      offsetDelta: batch.recordCount - 1,
    });
    return baseOffset;
  }
}

function findDuplicateBatch(entry: Entry, batch: BatchCommit): BatchMetadata | undefined {
  if (batch.producerEpoch !== entry.epoch) return undefined;
  const lastSeq = increment(batch.baseSequence, batch.recordCount - 1);
  return entry.batchMetadata.find(
    (kept) => firstSeq(kept) === batch.baseSequence && kept.lastSeq === lastSeq,
  );
}

function firstSeq(batch: BatchMetadata): number {
  const { lastSeq, offsetDelta } = batch;
  return lastSeq < offsetDelta ? intMax - (offsetDelta - lastSeq) + 1 : lastSeq - offsetDelta;
}

function increment(sequence: number, by: number): number {
  return sequence > intMax - by ? by - (intMax - sequence) - 1 : sequence + by;
}

/** Nearer ahead than behind, on the circle of sequences. */
function isLater(batch: BatchCommit, than: BatchCommit): boolean {
  if (batch.producerEpoch !== than.producerEpoch) return false;
  const ahead = batch.baseSequence - than.baseSequence;
  return ahead > 0 ? ahead < 2 ** 30 : ahead < -(2 ** 30);
}
