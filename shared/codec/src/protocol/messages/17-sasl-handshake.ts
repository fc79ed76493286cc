import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, int16, string } from '../schema.js';

/**
 * Chooses a SASL mechanism. Never flexible. After v0 raw tokens follow, after v1 SaslAuthenticate (KIP-152).
 */
export const saslHandshakeRequest = message({
  name: 'SaslHandshakeRequest',
  apiKey: 17,
  versions: '0-1',
  fields: {
    mechanism: string(),
  },
});
export type SaslHandshakeRequest = Decoded<typeof saslHandshakeRequest>;
export type SaslHandshakeRequestInput = Encodable<typeof saslHandshakeRequest>;

export const saslHandshakeResponse = message({
  name: 'SaslHandshakeResponse',
  apiKey: 17,
  versions: '0-1',
  fields: {
    errorCode: int16(),
    mechanisms: array(string()),
  },
});
export type SaslHandshakeResponse = Decoded<typeof saslHandshakeResponse>;
export type SaslHandshakeResponseInput = Encodable<typeof saslHandshakeResponse>;
