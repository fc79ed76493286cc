import { randomBytes } from 'node:crypto';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { crc32c } from '@node-rs/crc32';
import { systemClock } from '@kafscale/core';
import type { LoadResult } from './produce-load.js';

export interface S3PutLoad {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly keyPrefix: string;
  readonly objectBytes: number;
  /** PUTs under way at any time. */
  readonly parallelism: number;
  /** Rounded up to whole objects. */
  readonly totalBytes: number;
}

/**
 * PUTs with the SDK alone, configured as well as we know: the payload unsigned, and its CRC-32C
 * computed once beforehand, since every object is the same. So it costs less than any program whose
 * objects differ.
 */
export async function runS3PutLoad(load: S3PutLoad): Promise<LoadResult> {
  const client = clientOf(load);
  const body = randomBytes(load.objectBytes);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32c(body));
  const objects = Math.ceil(load.totalBytes / load.objectBytes);
  let next = 0;
  const putInTurn = async (): Promise<void> => {
    while (next < objects) {
      const key = `${load.keyPrefix}/${next}`;
      next += 1;
      await client.send(
        new PutObjectCommand({
          Bucket: load.bucket,
          Key: key,
          Body: body,
          ContentLength: body.length,
          ChecksumCRC32C: checksum.toString('base64'),
        }),
      );
    }
  };
  const startMs = systemClock.monotonicMs();
  await Promise.all(Array.from({ length: load.parallelism }, putInTurn));
  const seconds = (systemClock.monotonicMs() - startMs) / 1000;
  client.destroy();
  return { records: objects, bytes: objects * load.objectBytes, seconds };
}

function clientOf({ accessKeyId, endpoint, region, secretAccessKey }: S3PutLoad): S3Client {
  const client = new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    requestChecksumCalculation: 'WHEN_REQUIRED',
    expectContinueHeader: false,
  });
  // The signer takes the hash that it finds instead of computing one.
  client.middlewareStack.add(
    (next) => (step) => {
      const { request } = step as { request: { headers: Record<string, string> } };
      request.headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD';
      return next(step);
    },
    { step: 'build', name: 'leavePayloadUnsigned' },
  );
  return client;
}
