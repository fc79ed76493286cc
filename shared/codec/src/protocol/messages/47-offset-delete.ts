import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, int16, int32, string, struct } from '../schema.js';

/**
 * Deletes committed offsets of a group (KIP-496). Never flexible.
 */
export const offsetDeleteRequest = message({
  name: 'OffsetDeleteRequest',
  apiKey: 47,
  versions: '0',
  fields: {
    groupId: string(),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
          }),
        ),
      }),
    ),
  },
});
export type OffsetDeleteRequest = Decoded<typeof offsetDeleteRequest>;
export type OffsetDeleteRequestInput = Encodable<typeof offsetDeleteRequest>;

export const offsetDeleteResponse = message({
  name: 'OffsetDeleteResponse',
  apiKey: 47,
  versions: '0',
  fields: {
    errorCode: int16(),
    throttleTimeMs: int32(),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            errorCode: int16(),
          }),
        ),
      }),
    ),
  },
});
export type OffsetDeleteResponse = Decoded<typeof offsetDeleteResponse>;
export type OffsetDeleteResponseInput = Encodable<typeof offsetDeleteResponse>;
