import { S3ServiceException } from '@aws-sdk/client-s3';
import { describeError, isOperatingError, OperatingError, type Outcome } from '@kafscale/core';

/** What a failed attempt means: whether another one can help, and whether the server may have acted. */
export interface AttemptFailure {
  readonly code: StoreErrorCode;
  readonly isRetriable: boolean;
  /** The request may have been carried out although it failed. */
  readonly isAmbiguous: boolean;
}

export type StoreErrorCode =
  | 'STORE_UNREACHABLE'
  | 'STORE_THROTTLED'
  | 'STORE_DENIED'
  | 'STORE_BUCKET_MISSING'
  | 'STORE_FULL'
  | 'STORE_REFUSED'
  | 'OBJECT_EXISTS'
  | 'OBJECT_NOT_FOUND'
  | 'RANGE_NOT_SATISFIABLE';

function final(code: StoreErrorCode): AttemptFailure {
  return { code, isRetriable: false, isAmbiguous: false };
}

function again(code: StoreErrorCode, isAmbiguous: boolean): AttemptFailure {
  return { code, isRetriable: true, isAmbiguous };
}

/**
 * S3's error codes that say more than their status; anything not named goes by its status. A 404 must
 * be named: that an object is missing is not concluded from a proxy's page.
 */
const byName = new Map<string, AttemptFailure>([
  ['NoSuchBucket', final('STORE_BUCKET_MISSING')],
  ['NoSuchKey', final('OBJECT_NOT_FOUND')],
  ['NotFound', final('OBJECT_NOT_FOUND')], // the SDK's name for a 404 without a body, to HEAD
  ['XAdminUserNotFound', final('STORE_DENIED')], // versitygw; AWS: InvalidAccessKeyId, 403
  ['InvalidRange', final('RANGE_NOT_SATISFIABLE')],
  ['PreconditionFailed', final('OBJECT_EXISTS')],
  ['ConditionalRequestConflict', again('STORE_UNREACHABLE', false)],
  ['OperationAborted', again('STORE_UNREACHABLE', false)],
  ['SlowDown', again('STORE_THROTTLED', true)],
  ['SlowDownWrite', again('STORE_THROTTLED', true)],
  ['SlowDownRead', again('STORE_THROTTLED', true)],
  ['Throttling', again('STORE_THROTTLED', true)],
  ['ThrottlingException', again('STORE_THROTTLED', true)],
  ['TooManyRequests', again('STORE_THROTTLED', true)],
  ['RequestTimeout', again('STORE_UNREACHABLE', true)],
  // The bytes were damaged on the way: the server stored nothing.
  ['BadDigest', again('STORE_UNREACHABLE', false)],
  ['XAmzContentChecksumMismatch', again('STORE_UNREACHABLE', false)],
  ['IncompleteBody', again('STORE_UNREACHABLE', false)],
  ['XMinioStorageFull', final('STORE_FULL')],
  ['QuotaExceeded', final('STORE_FULL')],
]);

/** Failures of a connection that never came to be: nothing was sent. */
const neverSent = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
]);

/** Failures of a connection in use. */
const brokenConnection = new Set([
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ERR_STREAM_PREMATURE_CLOSE',
  'HPE_INVALID_CONSTANT',
  'HPE_INVALID_EOF_STATE',
  'HPE_CLOSED_CONNECTION',
]);

/**
 * An allow-list: what is named here is retried, everything else is final. That a failure is
 * `isAmbiguous` matters to a put only.
 */
export function classifyFailure(error: unknown): AttemptFailure {
  if (error instanceof TruncatedBodyError) return again('STORE_UNREACHABLE', false);
  if (error instanceof S3ServiceException) return classifyAnswer(error);
  const name = error instanceof Error ? error.name : '';
  const code = errorCode(error);
  if (neverSent.has(code)) return again('STORE_UNREACHABLE', false);
  if (brokenConnection.has(code)) return again('STORE_UNREACHABLE', true);
  // The deadline of one attempt, ours or the socket's.
  if (name === 'AbortError' || name === 'TimeoutError') return again('STORE_UNREACHABLE', true);
  if (name === 'CredentialsProviderError') return final('STORE_DENIED');
  // An answer that the SDK could not read: a proxy's page, a response cut in the middle.
  const status = answerStatus(error);
  if (status !== undefined && status >= 500) return again('STORE_UNREACHABLE', true);
  return { code: 'STORE_REFUSED', isRetriable: false, isAmbiguous: true };
}

function classifyAnswer(error: S3ServiceException): AttemptFailure {
  const named = byName.get(error.name);
  if (named) return named;
  const status = error.$metadata.httpStatusCode ?? 0;
  if (status === 429) return again('STORE_THROTTLED', true);
  if (status === 503) return again('STORE_THROTTLED', true);
  if (status === 507) return final('STORE_FULL');
  if (status >= 500) return again('STORE_UNREACHABLE', true);
  if (status === 401 || status === 403) return final('STORE_DENIED');
  if (status === 409) return again('STORE_UNREACHABLE', false);
  if (status === 412) return final('OBJECT_EXISTS');
  if (status === 416) return final('RANGE_NOT_SATISFIABLE');
  // A success whose body could not be read, or a status that S3 does not have.
  if (status < 400) return again('STORE_UNREACHABLE', true);
  return final('STORE_REFUSED');
}

/** A body that ended before its Content-Length. */
export class TruncatedBodyError extends Error {
  override readonly name = 'TruncatedBodyError';
}

export function storeError(
  failure: AttemptFailure,
  error: unknown,
  what: string,
  outcome: Outcome = 'failed',
): OperatingError {
  if (isOperatingError(error)) return error;
  return new OperatingError(failure.code, `${what}: ${explain(error)}`, {
    cause: error,
    retriable: failure.isRetriable,
    outcome,
  });
}

function explain(error: unknown): string {
  const text = describeError(error);
  const name = error instanceof Error ? error.name : '';
  return name === '' || name === 'Error' || text === name ? text : `${name}: ${text}`;
}

function errorCode(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

function answerStatus(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$response' in error)) return undefined;
  const response = error.$response;
  if (typeof response !== 'object' || response === null) return undefined;
  const status = 'statusCode' in response ? response.statusCode : undefined;
  return typeof status === 'number' ? status : undefined;
}
