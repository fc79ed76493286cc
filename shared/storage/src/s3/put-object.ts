import { randomUUID } from 'node:crypto';
import { HeadObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { invariant, isOperatingError, OperatingError } from '@kafscale/core';
import { requestBody } from './request-body.js';
import { type RetryOptions, withRetries } from './retry.js';

/** Name of the object metadata that says which put() call made an object. */
const putIdName = 'kafscale-put-id';

export interface PutRequest {
  readonly bucket: string;
  /** With the store's prefix. */
  readonly objectKey: string;
  readonly chunks: readonly Uint8Array[];
  readonly crc32c: number;
  /** The object is named by size and checksum, so that a later call finds it to be its own. */
  readonly isRepeatable: boolean;
}

/**
 * A conditional put. An attempt whose answer is lost may have stored the object; the next attempt
 * then gets 412 from its own work. So every call marks its object with an id of its own, and a 412
 * is settled by asking whose the object is (also on the first attempt: a proxy may have sent it
 * twice). Calls that the caller repeats are one put with one id.
 */
export async function putObject(
  client: S3Client,
  retry: RetryOptions,
  request: PutRequest,
): Promise<void> {
  const { bucket, chunks, crc32c, isRepeatable, objectKey } = request;
  const sizeBytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const checksum = encodeCrc(crc32c);
  const putId = isRepeatable ? `${sizeBytes}-${checksum}` : randomUUID();
  let isAmbiguous = false;
  try {
    await withRetries(
      retry,
      `can't put ${objectKey}`,
      (abortSignal) =>
        client.send(
          new PutObjectCommand({
            Bucket: bucket,
            Key: objectKey,
            Body: requestBody(chunks),
            ContentLength: sizeBytes,
            ContentType: 'application/octet-stream',
            IfNoneMatch: '*',
            ChecksumCRC32C: checksum,
            Metadata: { [putIdName]: putId },
          }),
          { abortSignal },
        ),
      (failure) => {
        isAmbiguous ||= failure.isAmbiguous;
      },
    );
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    if (error.code === 'OBJECT_EXISTS') return settleExisting(client, retry, request, putId);
    if (isAmbiguous) throw withUnknownOutcome(error);
    throw error;
  }
}

/** Resolves when the object is this call's own; OBJECT_EXISTS when it is another's. */
async function settleExisting(
  client: S3Client,
  retry: RetryOptions,
  request: PutRequest,
  putId: string,
): Promise<void> {
  const { bucket, objectKey } = request;
  let foundId: string | undefined;
  try {
    foundId = await withRetries(retry, `can't tell who put ${objectKey}`, async (abortSignal) => {
      const head = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: objectKey }), {
        abortSignal,
      });
      return head.Metadata?.[putIdName];
    });
  } catch (error) {
    throw isOperatingError(error) ? withUnknownOutcome(error) : error;
  }
  if (foundId !== putId) throw new OperatingError('OBJECT_EXISTS', `${objectKey} exists`);
}

function withUnknownOutcome(error: OperatingError): OperatingError {
  const { code, message, retriable } = error;
  return new OperatingError(code, message, { cause: error, retriable, outcome: 'unknown' });
}

function encodeCrc(crc32c: number): string {
  invariant(crc32c === crc32c >>> 0, 'a CRC-32C is an unsigned 32-bit integer');
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32c);
  return bytes.toString('base64');
}
