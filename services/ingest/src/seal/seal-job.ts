/**
 * What crosses to the worker thread and back. Plain data and shared memory only.
 */
export interface SealJob {
  readonly segmentId: string;
  readonly key: string;
  readonly nodeId: number;
  readonly incarnation: number;
  readonly birthMs: number;
  readonly softwareVersion: string;
  readonly chunks: readonly SharedArrayBuffer[];
  readonly topicIds: readonly string[];
  /**
   * {@link partitionFields} numbers per partition, in (topic id, partition) order: the order of the extents in
   * the object.
   */
  readonly partitions: Int32Array;
  /** {@link batchFields} numbers per batch, grouped by partition in the order above. */
  readonly batches: Float64Array;
}

/** Numbers per partition in {@link SealJob.partitions}: place in `topicIds`, partition index. */
export const partitionFields = 2;

/** Numbers per batch in {@link SealJob.batches}: partition, chunk, position, length, append time. */
export const batchFields = 5;

/** A segment that is in the object store, and how long the worker took for what. */
export interface StoredSegment extends SealResult {
  /** CRCs, extents and footer. */
  readonly sealMs: number;
  readonly putMs: number;
}

export interface SealResult {
  readonly sizeBytes: number;
  /** Position and length of each partition's extent, two numbers each; length 0: nothing was kept. */
  readonly extents: Float64Array;
  /** Indexes of batches whose CRC was wrong. Their bytes are not in the object. */
  readonly corruptBatches: readonly number[];
}
