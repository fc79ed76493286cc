import { errorCodes } from '@kafscale/codec';
import { isOperatingError, OperatingError } from '@kafscale/core';

/**
 * Errors of group coordination, beside those of the metadata store:
 * - `GROUPS_NOT_OWNED`: this process does not own the shard, or its lease has run out.
 * - `GROUP_LOAD_FAILED`: the group could not be read now.
 * - `GROUPS_TOO_MANY`, `OFFSET_COMMITS_TOO_MANY`: a bound of this process.
 * - `CLIENT_GONE`: the connection that waited has gone; there is nobody to answer.
 */
export function groupError(
  code:
    | 'GROUPS_NOT_OWNED'
    | 'GROUP_LOAD_FAILED'
    | 'GROUPS_TOO_MANY'
    | 'OFFSET_COMMITS_TOO_MANY'
    | 'CLIENT_GONE',
  message: string,
  cause?: unknown,
): OperatingError {
  return new OperatingError(code, message, { retriable: true, cause });
}

/** The Kafka error code to answer with. Throws again what is a bug or has nobody to answer to. */
export function kafkaErrorCode(error: unknown): number {
  if (!isOperatingError(error) || error.code === 'CLIENT_GONE') throw error;
  switch (error.code) {
    case 'GROUPS_NOT_OWNED':
    case 'SHARD_LEASE_LOST':
    case 'SHARD_LEASE_EXPIRED':
    case 'SHARD_NOT_OWNED':
      return errorCodes.NOT_COORDINATOR;
    case 'GROUP_LOAD_FAILED':
      return errorCodes.COORDINATOR_LOAD_IN_PROGRESS;
    default:
      // What may or may not have been written is written again by the retry: both are idempotent.
      return error.retriable || error.outcome === 'unknown'
        ? errorCodes.COORDINATOR_NOT_AVAILABLE
        : errorCodes.UNKNOWN_SERVER_ERROR;
  }
}
