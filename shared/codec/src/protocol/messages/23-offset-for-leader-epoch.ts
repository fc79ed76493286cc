import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, int16, int32, int64, string, struct } from '../schema.js';

/**
 * Where a leader epoch ends, for truncation detection in consumers (KIP-320).
 */
export const offsetForLeaderEpochRequest = message({
  name: 'OffsetForLeaderEpochRequest',
  apiKey: 23,
  versions: '2-4',
  flexible: '4+',
  fields: {
    replicaId: int32({ versions: '3+', default: -2 }),
    topics: array(
      struct({
        topic: string(),
        partitions: array(
          struct({
            partition: int32(),
            currentLeaderEpoch: int32({ default: -1 }),
            leaderEpoch: int32(),
          }),
        ),
      }),
    ),
  },
});
export type OffsetForLeaderEpochRequest = Decoded<typeof offsetForLeaderEpochRequest>;
export type OffsetForLeaderEpochRequestInput = Encodable<typeof offsetForLeaderEpochRequest>;

export const offsetForLeaderEpochResponse = message({
  name: 'OffsetForLeaderEpochResponse',
  apiKey: 23,
  versions: '2-4',
  flexible: '4+',
  fields: {
    throttleTimeMs: int32(),
    topics: array(
      struct({
        topic: string(),
        partitions: array(
          struct({
            errorCode: int16(),
            partition: int32(),
            leaderEpoch: int32({ default: -1 }),
            endOffset: int64({ default: -1n }),
          }),
        ),
      }),
    ),
  },
});
export type OffsetForLeaderEpochResponse = Decoded<typeof offsetForLeaderEpochResponse>;
export type OffsetForLeaderEpochResponseInput = Encodable<typeof offsetForLeaderEpochResponse>;
