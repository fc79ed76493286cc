import type { Extent } from './feed.js';

/** For whom an owner reads, most urgent first: it serves its own readers by the same classes. */
export type BlockUrgency = 'tail' | 'catchUp' | 'readAhead';

/** An extent that is wanted, and the leader epoch that is stamped into its batches. */
export interface WantedExtent {
  readonly extent: Extent;
  readonly leaderEpoch: number;
}

export interface BlockRead {
  /** Of one segment. */
  readonly wanted: readonly WantedExtent[];
  readonly urgency: BlockUrgency;
}

/**
 * What a fetch node does for the others: every block of a segment has one of them for its owner, so
 * that it is read from the object store, and kept, once among them.
 */
export interface BlockService {
  /**
   * The bytes of each extent, in the order in which they were asked for: verified, with base offsets
   * and leader epochs stamped; null for one that can't be had. From the cache of this node, or from
   * the object store into it; never from a third node. The caller must not change them. Rejects with
   * BLOCKS_BUSY (retriable) when its budget for others is used up.
   *
   * `onHeld` gets what the caller is to call once he does not look at the bytes any more: their memory is
   * used again then. Without it, it is not.
   */
  readExtents(
    read: BlockRead,
    onHeld?: (release: () => void) => void,
  ): Promise<readonly (Buffer | null)[]>;
}
