import { OperatingError } from '@kafscale/core';

/** A mistake in the command line that only the command itself can see: exit code 2. */
export function usageError(message: string): OperatingError {
  return new OperatingError('CONFIG_INVALID', message);
}
