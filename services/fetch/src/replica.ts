import type { CoordinatorService, FeedMessage, PartitionHead, TopicState } from '@kafscale/cluster';

/**
 * What reading needs of the replica of the coordinator's state (FeedReplica is one). Heads are as
 * of the last applied feed message.
 */
export interface FetchReplica {
  topicByName(name: string): TopicState | undefined;
  topicById(topicId: string): TopicState | undefined;
  /** Moves in place: copy what is kept. Undefined: no such partition, or not any more. */
  head(partitionId: number): PartitionHead | undefined;
  /**
   * The read index: resolves when everything that was committed before the call has been applied.
   * Rejects with OperatingError when nobody can tell, and when `signal` aborts.
   */
  barrier(signal: AbortSignal): Promise<void>;
  /** `listener` sees every message after it has been applied, in order. Returns how to stop it. */
  onEvents(listener: (message: FeedMessage) => void): () => void;
}

/** The part of the coordinator that reading needs. */
export type FetchCoordinator = Pick<
  CoordinatorService,
  'findExtents' | 'findExtentByTimestamp' | 'findExtentOfMaxTimestamp'
>;
