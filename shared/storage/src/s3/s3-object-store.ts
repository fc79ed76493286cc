import { randomInt } from 'node:crypto';
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  ListObjectsV2Command,
  type S3Client,
} from '@aws-sdk/client-s3';
import { type Clock, invariant, limits, OperatingError, systemClock } from '@kafscale/core';
import { checkKeyPrefix, checkObjectKey } from '../object-key.js';
import type { ObjectInfo, ObjectStore, ReadOptions } from '../object-store.js';
import { putObject } from './put-object.js';
import { discardBody, readBody } from './response-body.js';
import { RetryBudget, type RetryOptions, withRetries } from './retry.js';
import { createS3Client, type S3Options } from './s3-client.js';
import { parseS3Url } from './s3-url.js';

const randomSteps = 2 ** 32;

/** Objects in a bucket of S3 or of a store that speaks its protocol. */
export class S3ObjectStore implements ObjectStore {
  readonly url: string;
  readonly sizeMultiple = 1;
  readonly #bucket: string;
  /** Empty, or ends with a slash. */
  readonly #prefix: string;
  readonly #client: S3Client;
  readonly #retry: RetryOptions;
  readonly #putRetry: RetryOptions;
  readonly #callerRepeatsPuts: boolean;

  /** `url` is `s3://bucket` or `s3://bucket/prefix`. */
  constructor(url: string, options: S3Options = {}, clock: Clock = systemClock) {
    const { bucket, prefix } = parseS3Url(url);
    this.url = url;
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#client = createS3Client(options);
    this.#callerRepeatsPuts = options.callerRepeatsPuts ?? false;
    const random = (): number => randomInt(randomSteps) / randomSteps;
    this.#retry = {
      clock,
      random,
      budget: new RetryBudget(),
      requestTimeoutMs: limits.storeRequestTimeoutMs,
      operationTimeoutMs: limits.storeOperationTimeoutMs,
    };
    this.#putRetry = { ...this.#retry, retriesThrottled: !this.#callerRepeatsPuts };
  }

  async check(): Promise<void> {
    await this.#listPage('', undefined, 1);
  }

  put(key: string, chunks: readonly Uint8Array[], crc32c: number): Promise<void> {
    return putObject(this.#client, this.#putRetry, {
      bucket: this.#bucket,
      objectKey: this.#objectKey(key),
      chunks,
      crc32c,
      isRepeatable: this.#callerRepeatsPuts,
    });
  }

  async read(
    key: string,
    position: number,
    length: number,
    { into, signal }: ReadOptions = {},
  ): Promise<Buffer> {
    invariant(position >= 0 && length > 0, 'a read has a position and a length');
    const lengthMax = length + footerBytesAfter(position, length);
    const range = `bytes=${position}-${position + lengthMax - 1}`;
    const use = async (answer: GetObjectCommandOutput): Promise<Buffer> => {
      const { Body: body, ContentLength: announced } = answer;
      if (answer.ContentRange === undefined) {
        discardBody(body);
        throw new OperatingError('STORE_REFUSED', `${this.url} does not serve ranges`);
      }
      if (announced === undefined || announced < length || announced > lengthMax) {
        discardBody(body);
        const message = `${key} ends before byte ${position + length}`;
        throw new OperatingError('RANGE_NOT_SATISFIABLE', message);
      }
      return readBody(body, length, { announcedLength: announced, into, signal });
    };
    return this.#get(key, range, use, signal);
  }

  async readTail(key: string, length: number): Promise<{ bytes: Buffer; sizeBytes: number }> {
    invariant(length > 0, 'a tail has a length');
    try {
      return await this.#get(key, `bytes=-${length}`, async (answer) => {
        const { Body: body, ContentLength: announced } = answer;
        const sizeBytes = totalBytes(answer);
        if (sizeBytes === undefined || announced !== Math.min(length, sizeBytes)) {
          discardBody(body);
          throw new OperatingError('STORE_REFUSED', `${this.url} does not serve suffix ranges`);
        }
        return { bytes: await readBody(body, announced), sizeBytes };
      });
    } catch (error) {
      // An empty object satisfies no range.
      const isRange = error instanceof OperatingError && error.code === 'RANGE_NOT_SATISFIABLE';
      if (!isRange || (await this.#size(key)) !== 0) throw error;
      return { bytes: Buffer.alloc(0), sizeBytes: 0 };
    }
  }

  async delete(keys: readonly string[]): Promise<readonly string[]> {
    const failed: string[] = [];
    const step = limits.storeDeleteKeysPerRequestMax;
    for (let start = 0; start < keys.length; start += step) {
      const objectKeys = keys.slice(start, start + step).map((key) => this.#objectKey(key));
      // oxlint-disable-next-line no-await-in-loop
      const answer = await withRetries(this.#retry, "can't delete", (abortSignal) =>
        this.#client.send(
          new DeleteObjectsCommand({
            Bucket: this.#bucket,
            Delete: { Objects: objectKeys.map((Key) => ({ Key })), Quiet: true },
          }),
          { abortSignal },
        ),
      );
      for (const { Code: code, Key: objectKey } of answer.Errors ?? []) {
        if (objectKey !== undefined && code !== 'NoSuchKey') failed.push(this.#ownKey(objectKey));
      }
    }
    return failed;
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    checkKeyPrefix(prefix);
    let token: string | undefined;
    do {
      // oxlint-disable-next-line no-await-in-loop
      const page = await this.#listPage(prefix, token, 1000);
      for (const { Key: objectKey, LastModified: modified, Size: sizeBytes } of page.objects) {
        if (objectKey === undefined || sizeBytes === undefined || modified === undefined) continue;
        yield { key: this.#ownKey(objectKey), sizeBytes, lastModifiedMs: modified.getTime() };
      }
      token = page.nextToken;
    } while (token !== undefined);
  }

  close(): Promise<void> {
    this.#client.destroy();
    return Promise.resolve();
  }

  #get<Result>(
    key: string,
    range: string,
    use: (answer: GetObjectCommandOutput) => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> {
    const command = { Bucket: this.#bucket, Key: this.#objectKey(key), Range: range };
    return withRetries(this.#retry, `can't read ${key}`, async (deadline) => {
      const abortSignal = signal ? AbortSignal.any([deadline, signal]) : deadline;
      try {
        return await use(await this.#client.send(new GetObjectCommand(command), { abortSignal }));
      } catch (error) {
        // Not a failure that another attempt could mend.
        if (signal?.aborted === true) throw new OperatingError('READ_ABORTED', key);
        throw error;
      }
    });
  }

  async #size(key: string): Promise<number> {
    const command = { Bucket: this.#bucket, Key: this.#objectKey(key) };
    const answer = await withRetries(this.#retry, `can't read ${key}`, (abortSignal) =>
      this.#client.send(new HeadObjectCommand(command), { abortSignal }),
    );
    return answer.ContentLength ?? -1;
  }

  async #listPage(
    prefix: string,
    token: string | undefined,
    maxKeys: number,
  ): Promise<{ objects: ListedObjects; nextToken: string | undefined }> {
    const answer = await withRetries(this.#retry, `can't list ${this.url}`, (abortSignal) =>
      this.#client.send(
        new ListObjectsV2Command({
          Bucket: this.#bucket,
          Prefix: this.#prefix + prefix,
          MaxKeys: maxKeys,
          ...(token === undefined ? {} : { ContinuationToken: token }),
        }),
        { abortSignal },
      ),
    );
    const nextToken = answer.IsTruncated === true ? answer.NextContinuationToken : undefined;
    return { objects: answer.Contents ?? [], nextToken };
  }

  #objectKey(key: string): string {
    checkObjectKey(key);
    return this.#prefix + key;
  }

  #ownKey(objectKey: string): string {
    return objectKey.slice(this.#prefix.length);
  }
}

/**
 * What is read along behind a range that begins with the object, so that it is the whole object when only
 * the footer is missing: a server that stores in files sends that by sendfile (versitygw: 0.35 instead of
 * 1.1 CPU s/GB of its own).
 */
function footerBytesAfter(position: number, length: number): number {
  const isWorthIt = position === 0 && length >= limits.storeWholeObjectBytesMin;
  return isWorthIt ? limits.storeFooterBytesRead : 0;
}

type ListedObjects = readonly {
  readonly Key?: string | undefined;
  readonly Size?: number | undefined;
  readonly LastModified?: Date | undefined;
}[];

/** The object's size: from `Content-Range: bytes 5-9/10`, or of an answer that is all of it. */
function totalBytes(answer: GetObjectCommandOutput): number | undefined {
  if (answer.ContentRange === undefined) return answer.ContentLength;
  const total = Number(/\/(\d+)$/.exec(answer.ContentRange)?.[1]);
  return Number.isSafeInteger(total) ? total : undefined;
}
