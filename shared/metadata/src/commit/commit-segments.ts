import type { SegmentCommit } from '@kafscale/cluster';
import { invariant } from '@kafscale/core';

import type { Database } from '../database.js';
import { isUniqueViolation } from '../errors.js';
import type { CommitResult, Lease } from '../store-types.js';
import { decideCommit } from './decide.js';
import { loadCommitState } from './load-state.js';
import { saveDecision } from './save-decision.js';
import { validateSegments } from './validate.js';

/**
 * The commit of uploaded segments: design §4.4. One transaction and two round trips, whatever the
 * number of segments, extents and batches: [BEGIN, locks, reads], a pure decision, [writes, COMMIT].
 *
 * Safe to repeat with the same segments, at any time and from any connection: a segment's row carries
 * its answer. So an outcome `unknown` is resolved by calling again.
 */
export async function commitSegments(
  database: Database,
  request: { lease: Lease; segments: readonly SegmentCommit[]; commitAgeMsMax: number },
): Promise<CommitResult> {
  validateSegments(request.segments);
  return database.transaction(
    async ({ sql, commitWith }) => {
      const state = await loadCommitState(sql, request);
      const decision = decideCommit(state, request.segments);
      invariant(decision.answers.length === request.segments.length, 'every segment is answered');
      await commitWith(saveDecision(sql, decision, request.lease.shardId));
      return { answers: decision.answers, extents: decision.extents.map((item) => item.extent) };
    },
    {
      // Two connections bring the same segment at once, and share no partition whose lock would
      // let the second see the first one's answer. It sees it when it runs again.
      retryOn: (error) => isUniqueViolation(error, 'segments_pkey'),
    },
  );
}
