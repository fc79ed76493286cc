import { OperatingError } from '@kafscale/core';
import { checkObjectKey } from '../object-key.js';

/** Bucket and key prefix (empty, or with a slash at its end) of `s3://bucket/prefix`. */
export function parseS3Url(url: string): { bucket: string; prefix: string } {
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(url);
  const bucket = match?.[1];
  if (bucket === undefined) {
    throw new OperatingError('STORE_URL_INVALID', `"${url}" is not s3://bucket/prefix`);
  }
  const path = (match?.[2] ?? '').replace(/\/+$/, '');
  if (path === '') return { bucket, prefix: '' };
  checkObjectKey(path);
  return { bucket, prefix: `${path}/` };
}
