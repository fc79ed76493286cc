import { OperatingError } from '@kafscale/core';
import { FileObjectStore } from './files/file-object-store.js';
import type { ObjectStore } from './object-store.js';
import { LazyS3Store } from './s3/lazy-s3-store.js';
import type { S3Options } from './s3/s3-client.js';

/** Plain data, so that a worker thread can open its own store. */
export interface ObjectStoreOptions extends S3Options {
  /** Local files: puts block the calling thread. For threads that only write. */
  readonly blockingPuts?: boolean;
}

/**
 * The store behind `file:///absolute/path` or `s3://bucket/prefix`; STORE_URL_INVALID otherwise.
 * Does no I/O; check() does.
 */
export function openObjectStore(url: string, options: ObjectStoreOptions = {}): ObjectStore {
  if (url.startsWith('file:///')) return new FileObjectStore(url, options);
  if (url.startsWith('s3://')) return new LazyS3Store(url, options);
  throw new OperatingError(
    'STORE_URL_INVALID',
    `"${url}" is neither file:///absolute/path nor s3://bucket/prefix`,
  );
}
