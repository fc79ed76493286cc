import { errorCodes } from '@kafscale/codec';
import { isOperatingError } from '@kafscale/core';
import type { HandlerContext } from './context.js';

/**
 * Waits until this node knows everything that was committed before now (P2). Returns the error of
 * every partition when nobody can tell: clients refresh their metadata and ask again, perhaps
 * elsewhere.
 */
export async function readIndex(context: HandlerContext, signal: AbortSignal): Promise<number> {
  const startMs = context.clock.monotonicMs();
  try {
    await context.replica.barrier(signal);
    return errorCodes.NONE;
  } catch (error) {
    if (signal.aborted) return errorCodes.NOT_LEADER_OR_FOLLOWER;
    if (!isOperatingError(error)) throw error;
    // Every waiting client has one of these; that the feed is interrupted is said by the replica.
    context.log.debug({ code: error.code }, 'no read index');
    return errorCodes.NOT_LEADER_OR_FOLLOWER;
  } finally {
    context.metrics.observe('fetch_barrier_seconds', context.clock.monotonicMs() - startMs);
  }
}
