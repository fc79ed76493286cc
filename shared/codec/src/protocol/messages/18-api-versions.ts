import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, bool, int16, int32, int64, string, struct } from '../schema.js';

/**
 * What the server speaks (KIP-35, KIP-511). The response always has header v0. A request in a version that
 * the server lacks is answered in v0 with error 35 and the range of this API alone.
 */
export const apiVersionsRequest = message({
  name: 'ApiVersionsRequest',
  apiKey: 18,
  versions: '0-4',
  flexible: '3+',
  fields: {
    clientSoftwareName: string({ versions: '3+' }),
    clientSoftwareVersion: string({ versions: '3+' }),
  },
});
export type ApiVersionsRequest = Decoded<typeof apiVersionsRequest>;
export type ApiVersionsRequestInput = Encodable<typeof apiVersionsRequest>;

export const apiVersionsResponse = message({
  name: 'ApiVersionsResponse',
  apiKey: 18,
  versions: '0-4',
  flexible: '3+',
  fields: {
    errorCode: int16(),
    apiKeys: array(
      struct({
        apiKey: int16(),
        minVersion: int16(),
        maxVersion: int16(),
      }),
    ),
    throttleTimeMs: int32({ versions: '1+' }),
    supportedFeatures: array(
      struct({
        name: string(),
        minVersion: int16(),
        maxVersion: int16(),
      }),
      { versions: '3+', tag: 0 },
    ),
    finalizedFeaturesEpoch: int64({ versions: '3+', tag: 1, default: -1n }),
    finalizedFeatures: array(
      struct({
        name: string(),
        maxVersionLevel: int16(),
        minVersionLevel: int16(),
      }),
      { versions: '3+', tag: 2 },
    ),
    zkMigrationReady: bool({ versions: '3+', tag: 3 }),
  },
});
export type ApiVersionsResponse = Decoded<typeof apiVersionsResponse>;
export type ApiVersionsResponseInput = Encodable<typeof apiVersionsResponse>;
