import { limits, OperatingError } from '@kafscale/core';

const keyPattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/;
const prefixPattern = /^(?:[A-Za-z0-9_-][A-Za-z0-9._-]*\/)*(?:[A-Za-z0-9_-][A-Za-z0-9._-]*)?$/;

/**
 * Keys are path segments that begin with a letter, digit, `_` or `-`: so no `..`, no hidden file,
 * nothing that a file system or a URL reads differently. OBJECT_KEY_INVALID otherwise: people name
 * keys too (`segment dump`).
 */
export function checkObjectKey(key: string): void {
  if (key.length > limits.storeObjectKeyBytesMax || !keyPattern.test(key)) throw invalid(key);
}

/** A prefix for listing: the beginning of a key, possibly empty. */
export function checkKeyPrefix(prefix: string): void {
  if (prefix.length > limits.storeObjectKeyBytesMax || !prefixPattern.test(prefix)) {
    throw invalid(prefix);
  }
}

function invalid(key: string): OperatingError {
  return new OperatingError('OBJECT_KEY_INVALID', `"${key.slice(0, 100)}" can't be an object key`);
}
