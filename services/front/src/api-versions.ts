import type { KafkaReply } from '@kafscale/cluster';
import {
  advertisedApis,
  apis,
  apiVersionsRequest,
  apiVersionsResponse,
  errorCodes,
} from '@kafscale/codec';

/**
 * ApiVersions 0–4 (KIP-35, KIP-511), answered by the front itself, before authentication.
 *
 * v0–2 have no body; v3+ name the client's software, which is parsed and not judged: Kafka refuses
 * odd characters with 42, and gains nothing by it. Features: none; the finalized epoch is −1.
 */
const { key, minVersion, maxVersion } = apis.apiVersions;

/** The answers never change: encoded once per version. */
const replies = new Map<number, KafkaReply>();

/** Throws ProtocolError when the body is not an ApiVersions request. */
export function answerApiVersions(apiVersion: number, body: Buffer): KafkaReply {
  apiVersionsRequest.decode(body, apiVersion);
  let reply = replies.get(apiVersion);
  if (reply === undefined) {
    const apiKeys = advertisedApis.map((api) => ({
      apiKey: api.key,
      minVersion: api.minVersion,
      maxVersion: api.maxVersion,
    }));
    const value = { errorCode: errorCodes.NONE, apiKeys };
    reply = { kind: 'response', chunks: apiVersionsResponse.encode(value, apiVersion) };
    replies.set(apiVersion, reply);
  }
  return reply;
}

/**
 * For a version that we lack: v0 format, error 35, and exactly one entry, our own range of this API.
 * Clients retry with it; any other list they would take for the final answer.
 */
export const unsupportedApiVersionsReply: KafkaReply = {
  kind: 'response',
  chunks: apiVersionsResponse.encode(
    {
      errorCode: errorCodes.UNSUPPORTED_VERSION,
      apiKeys: [{ apiKey: key, minVersion, maxVersion }],
    },
    0,
  ),
};
