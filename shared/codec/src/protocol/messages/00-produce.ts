import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, int16, int32, int64, records, string, struct, uuid } from '../schema.js';

/**
 * Appends record batches (`ProduceRequest.json`). Versions 0 to 2 carry message sets in formats before v2;
 * Kafka 4 advertises them for old librdkafka (KAFKA-18659) and refuses them, so they decode here.
 * Topic ids replace names in v13 (KIP-516); v10 names the new leader in tags (KIP-951).
 */
export const produceRequest = message({
  name: 'ProduceRequest',
  apiKey: 0,
  versions: '0-13',
  flexible: '9+',
  fields: {
    transactionalId: string({ versions: '3+', nullable: '3+', default: null }),
    acks: int16(),
    timeoutMs: int32(),
    topicData: array(
      struct({
        name: string({ versions: '0-12' }),
        topicId: uuid({ versions: '13+' }),
        partitionData: array(
          struct({
            index: int32(),
            records: records({ nullable: '0+' }),
          }),
        ),
      }),
    ),
  },
});
export type ProduceRequest = Decoded<typeof produceRequest>;
export type ProduceRequestInput = Encodable<typeof produceRequest>;

export const produceResponse = message({
  name: 'ProduceResponse',
  apiKey: 0,
  versions: '0-13',
  flexible: '9+',
  fields: {
    responses: array(
      struct({
        name: string({ versions: '0-12' }),
        topicId: uuid({ versions: '13+' }),
        partitionResponses: array(
          struct({
            index: int32(),
            errorCode: int16(),
            baseOffset: int64(),
            logAppendTimeMs: int64({ versions: '2+', default: -1n }),
            logStartOffset: int64({ versions: '5+', default: -1n }),
            recordErrors: array(
              struct({
                batchIndex: int32(),
                batchIndexErrorMessage: string({ nullable: '8+', default: null }),
              }),
              { versions: '8+' },
            ),
            errorMessage: string({ versions: '8+', nullable: '8+', default: null }),
            currentLeader: struct(
              {
                leaderId: int32({ default: -1 }),
                leaderEpoch: int32({ default: -1 }),
              },
              { versions: '10+', tag: 0 },
            ),
          }),
        ),
      }),
    ),
    throttleTimeMs: int32({ versions: '1+' }),
    nodeEndpoints: array(
      struct({
        nodeId: int32(),
        host: string(),
        port: int32(),
        rack: string({ nullable: '10+', default: null }),
      }),
      { versions: '10+', tag: 0 },
    ),
  },
});
export type ProduceResponse = Decoded<typeof produceResponse>;
export type ProduceResponseInput = Encodable<typeof produceResponse>;
