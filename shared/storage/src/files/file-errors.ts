import { describeError, isOperatingError, OperatingError, type Outcome } from '@kafscale/core';

export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** What a failed call to the file system means to the services. */
export function fileStoreError(
  error: unknown,
  what: string,
  outcome: Outcome = 'failed',
): OperatingError {
  if (isOperatingError(error)) return error;
  const message = `${what}: ${describeError(error)}`;
  switch (systemErrorCode(error) ?? '') {
    case 'ENOENT':
      return new OperatingError('OBJECT_NOT_FOUND', message, { cause: error, outcome });
    case 'ENOSPC':
    case 'EDQUOT':
      return new OperatingError('STORE_FULL', message, { cause: error, retriable: true, outcome });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new OperatingError('STORE_DENIED', message, { cause: error, outcome });
    default:
      return new OperatingError('STORE_UNREACHABLE', message, {
        cause: error,
        retriable: true,
        outcome,
      });
  }
}
