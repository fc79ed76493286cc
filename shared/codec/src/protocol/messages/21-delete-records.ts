import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, int16, int32, int64, string, struct } from '../schema.js';

/**
 * Advances the log start offset (KIP-107).
 */
export const deleteRecordsRequest = message({
  name: 'DeleteRecordsRequest',
  apiKey: 21,
  versions: '0-2',
  flexible: '2+',
  fields: {
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            offset: int64(),
          }),
        ),
      }),
    ),
    timeoutMs: int32(),
  },
});
export type DeleteRecordsRequest = Decoded<typeof deleteRecordsRequest>;
export type DeleteRecordsRequestInput = Encodable<typeof deleteRecordsRequest>;

export const deleteRecordsResponse = message({
  name: 'DeleteRecordsResponse',
  apiKey: 21,
  versions: '0-2',
  flexible: '2+',
  fields: {
    throttleTimeMs: int32(),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            lowWatermark: int64(),
            errorCode: int16(),
          }),
        ),
      }),
    ),
  },
});
export type DeleteRecordsResponse = Decoded<typeof deleteRecordsResponse>;
export type DeleteRecordsResponseInput = Encodable<typeof deleteRecordsResponse>;
