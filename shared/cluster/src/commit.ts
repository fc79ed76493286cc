/** The commit of uploaded segments: design §4.4. Plain data; the same in one process and between. */

/** One record batch of an extent, as its header says. */
export interface BatchCommit {
  readonly recordCount: number;
  readonly firstTimestampMs: number;
  readonly maxTimestampMs: number;
  /** −1 when the producer is not idempotent; then epoch and baseSequence are −1 too. */
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  /**
   * true: the bytes are in the extent, but the batch must not be written, because an earlier batch
   * of its producer was lost with another segment of this node. Answered KAFKA_STORAGE_ERROR (56)
   * and treated like any refused batch; it changes no producer state.
   */
  readonly excluded: boolean;
}

/** All batches of one partition in one segment, contiguous bytes, in arrival order. */
export interface ExtentCommit {
  readonly partitionId: number;
  readonly position: number;
  readonly length: number;
  readonly batches: readonly BatchCommit[];
}

export interface SegmentCommit {
  /** UUID; also names the object. Repeating a commit with it returns the stored answer. */
  readonly segmentId: string;
  readonly nodeId: number;
  readonly incarnation: number;
  /** Database time at which the segment was opened, never later than the truth. */
  readonly birthMs: number;
  readonly sizeBytes: number;
  readonly extents: readonly ExtentCommit[];
}

/** What became of one batch. `errorCode` is Kafka's; 0 = written (now, or earlier: a duplicate). */
export interface BatchAnswer {
  readonly errorCode: number;
  /** The batch's offset when errorCode is 0 (the original one of a duplicate), else −1. */
  readonly baseOffset: number;
  readonly logStartOffset: number;
}

/**
 * `committed`: answers per extent and batch, in the order of the request; batches with an error
 * were not written. `tooOld` and `fenced`: nothing of the segment was written nor ever will be.
 */
export type SegmentAnswer =
  | { readonly kind: 'committed'; readonly extents: readonly (readonly BatchAnswer[])[] }
  | { readonly kind: 'tooOld' }
  | { readonly kind: 'fenced' };
