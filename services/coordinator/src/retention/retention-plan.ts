import type { TopicState } from '@kafscale/cluster';
import type { RetentionPolicy, RetentionWish } from '@kafscale/metadata';

/** What was found when a partition was last looked at. */
interface Look {
  readonly policy: RetentionPolicy;
  readonly highWatermark: number;
  /** On the monotonic clock: when its oldest extent expires; Infinity: it has none, or never. */
  readonly dueMs: number;
}

export interface Candidate extends RetentionWish {
  readonly highWatermark: number;
}

/**
 * Which partitions may have something to give up, from memory: so that nothing is asked of the
 * database for partitions in which nothing is due. One entry per partition that was ever written.
 */
export class RetentionPlan {
  #looks = new Map<number, Look>();
  readonly #forced = new Set<number>();

  /** Everything has to be looked at again: the shard was taken anew. */
  clear(): void {
    this.#looks.clear();
  }

  /** Look at them, whatever memory says. */
  force(partitionIds: readonly number[]): void {
    for (const partitionId of partitionIds) this.#forced.add(partitionId);
  }

  /** The partitions to look at now; forgets those that do not exist any more. */
  candidates(
    topics: readonly TopicState[],
    policyOf: (topicId: string) => RetentionPolicy,
    nowMs: number,
  ): Candidate[] {
    const candidates: Candidate[] = [];
    const looks = new Map<number, Look>();
    for (const topic of topics) {
      const policy = policyOf(topic.topicId);
      for (const { highWatermark, partitionId } of topic.partitions) {
        // Never written: there is nothing, and nothing was left by a process that died.
        if (highWatermark === 0) continue;
        const look = this.#looks.get(partitionId);
        if (look !== undefined) looks.set(partitionId, look);
        if (this.#forced.has(partitionId) || mayHaveWork(look, policy, highWatermark, nowMs)) {
          candidates.push({ partitionId, highWatermark, ...policy });
        }
      }
    }
    this.#looks = looks;
    this.#forced.clear();
    return candidates;
  }

  /** Nothing to do for it, until `dueMs` or a change. */
  settle(candidate: Candidate, dueMs: number): void {
    const { highWatermark, partitionId, retentionBytes, retentionMs } = candidate;
    const policy = { retentionMs, retentionBytes };
    this.#looks.set(partitionId, { policy, highWatermark, dueMs });
  }
}

function mayHaveWork(
  look: Look | undefined,
  policy: RetentionPolicy,
  highWatermark: number,
  nowMs: number,
): boolean {
  if (look === undefined || nowMs >= look.dueMs) return true;
  const { retentionBytes, retentionMs } = policy;
  if (look.policy.retentionBytes !== retentionBytes || look.policy.retentionMs !== retentionMs) {
    return true;
  }
  if (look.highWatermark === highWatermark) return false;
  // It has grown; or it was empty, and what came has a time of its own.
  return retentionBytes >= 0 || (retentionMs >= 0 && look.dueMs === Infinity);
}
