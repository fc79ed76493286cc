/** The numbers of a batch of an idempotent producer. */
export interface SequencedBatch {
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
}

const sequencesTotal = 2 ** 31;

/** Whether `batch` was sent behind `lost`, in the same epoch. Sequences go on from 2^31 − 1 with 0. */
export function isSentBehind(batch: SequencedBatch, lost: SequencedBatch): boolean {
  if (batch.producerEpoch !== lost.producerEpoch) return false;
  const distance = (batch.baseSequence - lost.baseSequence + sequencesTotal) % sequencesTotal;
  return distance > 0 && distance < sequencesTotal / 2;
}

/** Of two losses of a producer the one that counts: in a new epoch the new one, else the first sent. */
export function firstLoss<Batch extends SequencedBatch>(
  known: Batch | undefined,
  lost: Batch,
): Batch {
  return known !== undefined && isSentBehind(lost, known) ? known : lost;
}
