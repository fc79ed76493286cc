import { isOperatingError, limits, sleep } from '@kafscale/core';
import type { Clock, OperatingError } from '@kafscale/core';
import type { CoordinatorService, SegmentAnswer, SegmentCommit } from '@kafscale/cluster';

/** `failed`: certainly not committed, now or ever. `unknown`: nobody can tell any more. */
export type CommitOutcome =
  | { readonly kind: 'answered'; readonly answers: readonly SegmentAnswer[] }
  | { readonly kind: 'failed'; readonly error: OperatingError }
  | { readonly kind: 'unknown'; readonly error: OperatingError };

/**
 * Commits segments and repeats the call until it is answered. Repeating is safe because the metadata
 * store keeps the answer of every segment (design §4.4); giving up is what is not: an attempt whose
 * outcome is unknown may still be under way, so after one the result is never `failed`.
 */
export async function commitUntilAnswered(options: {
  coordinator: Pick<CoordinatorService, 'commitSegments'>;
  segments: readonly SegmentCommit[];
  clock: Clock;
  onRetry: (error: OperatingError) => void;
}): Promise<CommitOutcome> {
  const { coordinator, segments, clock, onRetry } = options;
  const deadlineMs = clock.monotonicMs() + limits.commitTimeoutMs;
  let ambiguous = false;
  for (let attempt = 1; ; attempt++) {
    try {
      return { kind: 'answered', answers: await coordinator.commitSegments(segments) };
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      ambiguous ||= error.outcome === 'unknown';
      const again = error.outcome === 'unknown' || error.retriable;
      if (!again || clock.monotonicMs() >= deadlineMs) {
        return { kind: ambiguous ? 'unknown' : 'failed', error };
      }
      onRetry(error);
      await sleep(backoffMs(attempt));
    }
  }
}

function backoffMs(attempt: number): number {
  const ceilingMs = Math.min(limits.commitBackoffMsMax, limits.commitBackoffMsMin * 2 ** attempt);
  return ceilingMs * (0.5 + Math.random() / 2);
}
