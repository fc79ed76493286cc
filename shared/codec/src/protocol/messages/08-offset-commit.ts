import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, int16, int32, int64, string, struct, uuid } from '../schema.js';

/**
 * Commits offsets of a group. Static members since v7 (KIP-345), member epochs since v9 (KIP-848), topic ids
 * since v10.
 */
export const offsetCommitRequest = message({
  name: 'OffsetCommitRequest',
  apiKey: 8,
  versions: '2-10',
  flexible: '8+',
  fields: {
    groupId: string(),
    generationIdOrMemberEpoch: int32({ default: -1 }),
    memberId: string(),
    groupInstanceId: string({ versions: '7+', nullable: '7+', default: null }),
    retentionTimeMs: int64({ versions: '2-4', default: -1n }),
    topics: array(
      struct({
        name: string({ versions: '0-9' }),
        topicId: uuid({ versions: '10+' }),
        partitions: array(
          struct({
            partitionIndex: int32(),
            committedOffset: int64(),
            committedLeaderEpoch: int32({ versions: '6+', default: -1 }),
            committedMetadata: string({ nullable: '0+' }),
          }),
        ),
      }),
    ),
  },
});
export type OffsetCommitRequest = Decoded<typeof offsetCommitRequest>;
export type OffsetCommitRequestInput = Encodable<typeof offsetCommitRequest>;

export const offsetCommitResponse = message({
  name: 'OffsetCommitResponse',
  apiKey: 8,
  versions: '2-10',
  flexible: '8+',
  fields: {
    throttleTimeMs: int32({ versions: '3+' }),
    topics: array(
      struct({
        name: string({ versions: '0-9' }),
        topicId: uuid({ versions: '10+' }),
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
export type OffsetCommitResponse = Decoded<typeof offsetCommitResponse>;
export type OffsetCommitResponseInput = Encodable<typeof offsetCommitResponse>;
