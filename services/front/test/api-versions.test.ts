import { advertisedApis, apiVersionsRequest, apiVersionsResponse } from '@kafscale/codec';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { apiVersionsKey, encodeRequest, framed, metadata, startTestFront } from './scripted.js';
import type { TestFront } from './scripted.js';

let front: TestFront;
beforeEach(async () => {
  front = await startTestFront();
});
afterEach(() => front.close());

const software = { clientSoftwareName: 'librdkafka', clientSoftwareVersion: '2.15.0' };

function body(apiVersion: number, value = software): Buffer {
  return Buffer.concat(apiVersionsRequest.encode(value, apiVersion));
}

describe('ApiVersions', () => {
  it.each([0, 1, 2, 3, 4])('answers version %i with what is served', async (apiVersion) => {
    const client = await front.connect();
    client.write(
      encodeRequest({
        apiKey: apiVersionsKey,
        apiVersion,
        correlationId: 42,
        body: body(apiVersion),
      }),
    );
    const response = await client.response(0);
    expect(response.readInt32BE(0)).toBe(42);
    // Header v0 in every version: the body follows at once.
    const value = apiVersionsResponse.decode(response.subarray(4), apiVersion);
    expect(value).toMatchObject({
      errorCode: 0,
      throttleTimeMs: 0,
      supportedFeatures: [],
      finalizedFeaturesEpoch: -1n,
    });
    expect(value.apiKeys).toEqual(
      advertisedApis.map(({ key, minVersion, maxVersion }) => ({
        apiKey: key,
        minVersion,
        maxVersion,
      })),
    );
    expect(value.apiKeys).toContainEqual({ apiKey: 0, minVersion: 0, maxVersion: 12 });
    expect(value.apiKeys).toContainEqual({ apiKey: 18, minVersion: 0, maxVersion: 4 });
  });

  it.each([5, 6, 999])('answers version %i in v0 with its own range alone', async (apiVersion) => {
    const client = await front.connect();
    // Whatever the future puts there must not be parsed.
    const frame = Buffer.concat([
      Buffer.from([0, 18, 0, 0, 0, 0, 0, 9]),
      Buffer.from('\xff\xff?', 'latin1'),
    ]);
    frame.writeInt16BE(apiVersion, 2);
    client.write(framed(frame));
    // Correlation id 9, error 35, one entry {18, 0, 4}.
    expect(await client.response(0)).toEqual(
      Buffer.from('00000009002300000001001200000004', 'hex'),
    );
    // The connection goes on.
    client.write(
      encodeRequest({ apiKey: apiVersionsKey, apiVersion: 4, correlationId: 10, body: body(4) }),
    );
    expect(await client.correlationIds(2)).toEqual([9, 10]);
    expect(front.log.loud).toEqual([]);
  });

  it('does not judge the names of clients', async () => {
    const client = await front.connect();
    const odd = { clientSoftwareName: '-odd name-', clientSoftwareVersion: '' };
    client.write(
      encodeRequest({
        apiKey: apiVersionsKey,
        apiVersion: 3,
        correlationId: 1,
        body: body(3, odd),
      }),
    );
    const response = await client.response(0);
    expect(apiVersionsResponse.decode(response.subarray(4), 3).errorCode).toBe(0);
  });

  it('closes on a body that is not one', async () => {
    const client = await front.connect();
    const truncated = body(3).subarray(0, 4);
    client.write(
      encodeRequest({ apiKey: apiVersionsKey, apiVersion: 3, correlationId: 1, body: truncated }),
    );
    await client.untilClosed();
    expect(front.log.loud.map(({ fields }) => fields['reason'])).toEqual(['malformed']);
  });

  it('keeps its place in the order of the connection', async () => {
    const client = await front.connect();
    client.write(
      metadata(0),
      encodeRequest({ apiKey: apiVersionsKey, apiVersion: 0, correlationId: 1 }),
      metadata(2),
    );
    (await front.coordinator.call(0)).respond();
    expect(await client.correlationIds(2)).toEqual([0, 1]);
    (await front.coordinator.call(1)).respond();
    expect(await client.correlationIds(3)).toEqual([0, 1, 2]);
  });
});
