import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { int16, int32, int64, string } from '../schema.js';

/**
 * Hands out producer ids (KIP-98); v3 bumps an epoch (KIP-360).
 */
export const initProducerIdRequest = message({
  name: 'InitProducerIdRequest',
  apiKey: 22,
  versions: '0-5',
  flexible: '2+',
  fields: {
    transactionalId: string({ nullable: '0+' }),
    transactionTimeoutMs: int32(),
    producerId: int64({ versions: '3+', default: -1n }),
    producerEpoch: int16({ versions: '3+', default: -1 }),
  },
});
export type InitProducerIdRequest = Decoded<typeof initProducerIdRequest>;
export type InitProducerIdRequestInput = Encodable<typeof initProducerIdRequest>;

export const initProducerIdResponse = message({
  name: 'InitProducerIdResponse',
  apiKey: 22,
  versions: '0-5',
  flexible: '2+',
  fields: {
    throttleTimeMs: int32(),
    errorCode: int16(),
    producerId: int64({ default: -1n }),
    producerEpoch: int16(),
  },
});
export type InitProducerIdResponse = Decoded<typeof initProducerIdResponse>;
export type InitProducerIdResponseInput = Encodable<typeof initProducerIdResponse>;
