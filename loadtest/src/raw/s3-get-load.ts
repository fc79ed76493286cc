import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { invariant, systemClock } from '@kafscale/core';
import type { LoadResult } from './produce-load.js';

export interface S3GetLoad {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** What is below it is read once. */
  readonly keyPrefix: string;
  /** Not all of it then, to whole ranges. */
  readonly bytesMax?: number | undefined;
  readonly rangeBytes: number;
  /** GETs under way at any time. */
  readonly parallelism: number;
}

interface Range {
  readonly key: string;
  readonly from: number;
  readonly length: number;
}

/** Ranged GETs with the SDK alone, over whole objects; the bytes are looked at by nobody. */
export async function runS3GetLoad(load: S3GetLoad): Promise<LoadResult> {
  const { accessKeyId, endpoint, parallelism, region, secretAccessKey } = load;
  const client = new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  const ranges = firstBytes(await listRanges(client, load), load.bytesMax);
  let next = 0;
  let bytes = 0;
  const getInTurn = async (): Promise<void> => {
    for (let range = ranges[next]; range !== undefined; range = ranges[next]) {
      next += 1;
      const { from, key, length } = range;
      const { Body: body } = await client.send(
        new GetObjectCommand({
          Bucket: load.bucket,
          Key: key,
          Range: `bytes=${from}-${from + length - 1}`,
        }),
      );
      invariant(body !== undefined, 'a GET has a body');
      for await (const chunk of body as AsyncIterable<Uint8Array>) bytes += chunk.length;
    }
  };
  const startMs = systemClock.monotonicMs();
  await Promise.all(Array.from({ length: parallelism }, getInTurn));
  const seconds = (systemClock.monotonicMs() - startMs) / 1000;
  client.destroy();
  const expected = ranges.reduce((sum, { length }) => sum + length, 0);
  invariant(bytes === expected, `${expected} bytes were asked for and ${bytes} came`);
  return { records: ranges.length, bytes, seconds };
}

function firstBytes(ranges: readonly Range[], bytesMax = Infinity): readonly Range[] {
  let bytes = 0;
  return ranges.filter(({ length }) => {
    bytes += length;
    return bytes <= bytesMax;
  });
}

async function listRanges(client: S3Client, load: S3GetLoad): Promise<Range[]> {
  const { bucket, keyPrefix, rangeBytes } = load;
  const ranges: Range[] = [];
  let token: string | undefined;
  do {
    const page = await client.send(
      new ListObjectsV2Command({ Bucket: bucket, Prefix: keyPrefix, ContinuationToken: token }),
    );
    for (const { Key: key = '', Size: size = 0 } of page.Contents ?? []) {
      for (let from = 0; from < size; from += rangeBytes) {
        ranges.push({ key, from, length: Math.min(rangeBytes, size - from) });
      }
    }
    token = page.NextContinuationToken;
  } while (token !== undefined);
  return ranges;
}
