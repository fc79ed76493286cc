import type { ObjectInfo, ObjectStore, ReadOptions } from '../object-store.js';
import type { S3Options } from './s3-client.js';
import { parseS3Url } from './s3-url.js';

/**
 * The S3 store, loaded at its first use: the SDK takes 130 ms and 23 MB in every thread that imports
 * it, and whoever stores in files would pay for it in each.
 */
export class LazyS3Store implements ObjectStore {
  readonly url: string;
  readonly sizeMultiple = 1;
  readonly #options: S3Options;
  #store: Promise<ObjectStore> | undefined;

  constructor(url: string, options: S3Options) {
    parseS3Url(url); // a bad URL is told at once
    this.url = url;
    this.#options = options;
  }

  async check(): Promise<void> {
    return (await this.#open()).check();
  }

  async put(key: string, chunks: readonly Uint8Array[], crc32c: number): Promise<void> {
    return (await this.#open()).put(key, chunks, crc32c);
  }

  async read(
    key: string,
    position: number,
    length: number,
    options?: ReadOptions,
  ): Promise<Buffer> {
    return (await this.#open()).read(key, position, length, options);
  }

  async readTail(key: string, length: number): Promise<{ bytes: Buffer; sizeBytes: number }> {
    return (await this.#open()).readTail(key, length);
  }

  async delete(keys: readonly string[]): Promise<readonly string[]> {
    return (await this.#open()).delete(keys);
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    yield* (await this.#open()).list(prefix);
  }

  async close(): Promise<void> {
    if (this.#store) await (await this.#store).close();
  }

  #open(): Promise<ObjectStore> {
    this.#store ??= import('./s3-object-store.js').then(
      ({ S3ObjectStore }) => new S3ObjectStore(this.url, this.#options),
    );
    return this.#store;
  }
}
