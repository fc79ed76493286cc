import { randomFillSync } from 'node:crypto';
import { apis, batchHeaderBytes, encodePlainBatch } from '@kafscale/codec';
import { systemClock } from '@kafscale/core';
import { requestFrame } from './request-frame.js';

/** What the requests of a raw load look like: all of one shape. */
export interface ProduceShape {
  readonly topic: string;
  readonly partitions: number;
  /** Of each record batch, at most. */
  readonly batchBytes: number;
  /** Batches of a request, each for another partition. */
  readonly batchesPerRequest: number;
  readonly valueBytes: number;
}

/** The last version with classic encoding: the place of the error code can be computed. */
const produceVersion = 8;

/** Of a record with lengths and deltas of up to two bytes, without key and headers. */
const recordOverheadBytes = 10;

/** How many records fit in a batch. */
export function recordsIn({ batchBytes, valueBytes }: ProduceShape): number {
  return Math.floor((batchBytes - batchHeaderBytes) / (valueBytes + recordOverheadBytes));
}

export function randomBatch(recordCount: number, valueBytes: number): Buffer {
  const timestampMs = systemClock.wallMs();
  const records = Array.from({ length: recordCount }, () => ({
    timestampMs,
    value: randomFillSync(Buffer.allocUnsafe(valueBytes)),
  }));
  return encodePlainBatch({ records });
}

/** The frame with number `slot`: consecutive frames go round the partitions. */
export function produceFrame(
  shape: ProduceShape,
  options: { readonly batch: Buffer; readonly slot: number; readonly correlationId: number },
): Buffer {
  const { batch, correlationId, slot } = options;
  const { batchesPerRequest, partitions, topic } = shape;
  return requestFrame({
    api: apis.produce,
    version: produceVersion,
    correlationId,
    request: {
      acks: -1,
      timeoutMs: 30_000,
      topicData: [
        {
          name: topic,
          partitionData: Array.from({ length: batchesPerRequest }, (_, index) => ({
            index: (slot * batchesPerRequest + index) % partitions,
            records: batch,
          })),
        },
      ],
    },
  });
}

/**
 * In an answer in version 8 without errors: correlation id, array length, topic, array length; then
 * per partition index, error code, base offset, append time, log start, no record errors, no message.
 */
export function errorCodePositions({ batchesPerRequest, topic }: ProduceShape): number[] {
  const firstPartition = 4 + 4 + (2 + Buffer.byteLength(topic)) + 4;
  const partitionBytes = 4 + 2 + 8 + 8 + 8 + 4 + 2;
  return Array.from(
    { length: batchesPerRequest },
    (_, index) => firstPartition + index * partitionBytes + 4,
  );
}
