import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, int16, int32, int64, int8, string, struct } from '../schema.js';

/**
 * Offsets by timestamp: -1 latest, -2 earliest, -3 the largest timestamp (v7, KIP-734), -4 earliest local
 * (v8, KIP-405), -5 latest tiered (v9, KIP-1005). v10 adds the timeout (KIP-1075).
 */
export const listOffsetsRequest = message({
  name: 'ListOffsetsRequest',
  apiKey: 2,
  versions: '1-11',
  flexible: '6+',
  fields: {
    replicaId: int32(),
    isolationLevel: int8({ versions: '2+' }),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            currentLeaderEpoch: int32({ versions: '4+', default: -1 }),
            timestamp: int64(),
          }),
        ),
      }),
    ),
    timeoutMs: int32({ versions: '10+' }),
  },
});
export type ListOffsetsRequest = Decoded<typeof listOffsetsRequest>;
export type ListOffsetsRequestInput = Encodable<typeof listOffsetsRequest>;

export const listOffsetsResponse = message({
  name: 'ListOffsetsResponse',
  apiKey: 2,
  versions: '1-11',
  flexible: '6+',
  fields: {
    throttleTimeMs: int32({ versions: '2+' }),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            errorCode: int16(),
            timestamp: int64({ default: -1n }),
            offset: int64({ default: -1n }),
            leaderEpoch: int32({ versions: '4+', default: -1 }),
          }),
        ),
      }),
    ),
  },
});
export type ListOffsetsResponse = Decoded<typeof listOffsetsResponse>;
export type ListOffsetsResponseInput = Encodable<typeof listOffsetsResponse>;
