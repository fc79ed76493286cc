import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { bytes, int16, int64, string } from '../schema.js';

/**
 * One step of a SASL exchange (KIP-152); v1 adds the lifetime of the session (KIP-368).
 */
export const saslAuthenticateRequest = message({
  name: 'SaslAuthenticateRequest',
  apiKey: 36,
  versions: '0-2',
  flexible: '2+',
  fields: {
    authBytes: bytes(),
  },
});
export type SaslAuthenticateRequest = Decoded<typeof saslAuthenticateRequest>;
export type SaslAuthenticateRequestInput = Encodable<typeof saslAuthenticateRequest>;

export const saslAuthenticateResponse = message({
  name: 'SaslAuthenticateResponse',
  apiKey: 36,
  versions: '0-2',
  flexible: '2+',
  fields: {
    errorCode: int16(),
    errorMessage: string({ nullable: '0+' }),
    authBytes: bytes(),
    sessionLifetimeMs: int64({ versions: '1+' }),
  },
});
export type SaslAuthenticateResponse = Decoded<typeof saslAuthenticateResponse>;
export type SaslAuthenticateResponseInput = Encodable<typeof saslAuthenticateResponse>;
