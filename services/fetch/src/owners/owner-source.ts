import type { BlockRead, Extent, WantedExtent } from '@kafscale/cluster';
import { type Clock, describeError, isOperatingError } from '@kafscale/core';
import { BlockCache } from '../blocks/block-cache.js';
import type { LoadedExtent } from '../blocks/verify-extent.js';
import type { FetchLog } from '../fetch-log.js';
import type { FetchMetrics } from '../metrics.js';
import type { BlockPeers } from './block-peers.js';
import { checkBorrowed } from './check-borrowed.js';
import { chooseOwner } from './choose-owner.js';
import { within } from './within.js';

export interface OwnerSourceLimits {
  /** What has one owner: the extents that begin in so many bytes of a segment. */
  readonly ownedBlockBytes: number;
  /** Larger extents are loaded by whoever wants them. */
  readonly extentBytesMax: number;
  /** What is kept of other nodes' blocks. */
  readonly borrowedBytesMax: number;
  readonly timeoutMs: number;
  /** How long an owner that failed is not asked. */
  readonly pauseMs: number;
}

export interface OwnerSourceOptions {
  readonly peers: BlockPeers;
  readonly limits: OwnerSourceLimits;
  readonly clock: Clock;
  readonly log: FetchLog;
  readonly metrics: FetchMetrics;
}

/**
 * Blocks that another fetch node owns: who that is, and what it has. Every failure is only a reason
 * to load directly, and an owner that fails is left alone for a while, so that a dead or slow one
 * costs its blocks a moment and nothing else anything.
 */
export class OwnerSource {
  /**
   * What owners have answered. Small: it is for readers that take an extent in several responses,
   * and for what is read ahead of them. Everything else is asked for again, and the caches add up.
   */
  readonly borrowed: BlockCache;
  readonly #options: OwnerSourceOptions;
  readonly #pausedUntilMs = new Map<number, number>();
  readonly #canAsk = (nodeId: number): boolean => {
    const { peers } = this.#options;
    if (nodeId === peers.ownNodeId) return true;
    return !this.#isPaused(nodeId) && peers.blocksOf(nodeId) !== undefined;
  };

  constructor(options: OwnerSourceOptions) {
    this.#options = options;
    const { borrowedBytesMax } = options.limits;
    this.borrowed = new BlockCache({
      bytesMax: borrowedBytesMax,
      catchUpBytesMax: borrowedBytesMax,
    });
  }

  /**
   * The node that is to load it for this one; null: this one itself. A dead node stays in the view
   * for seconds, but its links go down at once, and with them it stops to own anything: those that it
   * was linked with agree on who comes next.
   */
  ownerOf(extent: Extent): number | null {
    const { peers, limits } = this.#options;
    const nodeIds = peers.fetchNodeIds();
    if (nodeIds.length < 2 || extent.length > limits.extentBytesMax) return null;
    const block = Math.floor(extent.position / limits.ownedBlockBytes);
    const { segmentId } = extent;
    const owner = chooseOwner(nodeIds, { segmentId, block }, this.#canAsk);
    return owner === peers.ownNodeId ? null : owner;
  }

  /**
   * One question for extents of one segment. In their order: the loaded extent, in memory of its own,
   * or null for one that has to be loaded directly. Never rejects. `onSettled`: nothing of it is in
   * flight any more; an answer that is too late is, until it has come.
   */
  async read(
    owner: number,
    read: BlockRead,
    onSettled: () => void,
  ): Promise<readonly (LoadedExtent | null)[]> {
    const { metrics } = this.#options;
    const answers = await this.#ask(owner, read, onSettled);
    const loaded = read.wanted.map((each, index): LoadedExtent | null => {
      const bytes = answers?.[index] ?? null;
      return bytes === null ? null : this.#check(owner, each, bytes);
    });
    const fallbacks = loaded.filter((each) => each === null).length;
    if (fallbacks > 0) metrics.count('fetch_owner_fallbacks_total', fallbacks);
    if (fallbacks < loaded.length) metrics.count('fetch_owner_reads_total');
    for (const each of loaded) {
      if (each !== null) metrics.count('fetch_owner_read_bytes_total', each.bytes.length);
    }
    return loaded;
  }

  /** For the responses to come. */
  keep(found: readonly (LoadedExtent | null)[]): void {
    const loaded = found.filter((each) => each !== null);
    const bytes = loaded.reduce((sum, each) => sum + each.bytes.length, 0);
    this.borrowed.insert(loaded, bytes, 'catchUp');
  }

  /** Null: it was not asked, or did not answer. */
  async #ask(
    owner: number,
    read: BlockRead,
    onSettled: () => void,
  ): Promise<readonly (Buffer | null)[] | null> {
    const { peers, limits } = this.#options;
    const blocks = this.#isPaused(owner) ? undefined : peers.blocksOf(owner);
    if (blocks === undefined) {
      onSettled();
      return null;
    }
    try {
      const answer = blocks.readExtents(read);
      answer.then(onSettled, onSettled);
      return await within(answer, limits.timeoutMs);
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      // Its budget will have room again in a moment, and to be told so costs nothing.
      if (error.code !== 'BLOCKS_BUSY') this.#pause(owner, describeError(error));
      return null;
    }
  }

  #check(owner: number, { extent }: WantedExtent, bytes: Buffer): LoadedExtent | null {
    const checked = checkBorrowed(bytes, extent);
    if (checked.kind === 'intact') return checked.loaded;
    this.#options.metrics.count('fetch_owner_answers_wrong_total');
    this.#pause(owner, `wrong bytes of ${extent.segmentId}: ${checked.reason}`);
    return null;
  }

  #isPaused(owner: number): boolean {
    const untilMs = this.#pausedUntilMs.get(owner);
    if (untilMs === undefined) return false;
    if (this.#options.clock.monotonicMs() < untilMs) return true;
    this.#pausedUntilMs.delete(owner);
    return false;
  }

  #pause(owner: number, reason: string): void {
    if (this.#isPaused(owner)) return;
    const { clock, limits, log, peers } = this.#options;
    const { pauseMs } = limits;
    // Nodes that have gone are never looked up again.
    const live = new Set(peers.fetchNodeIds());
    for (const nodeId of this.#pausedUntilMs.keys()) {
      if (!live.has(nodeId)) this.#pausedUntilMs.delete(nodeId);
    }
    this.#pausedUntilMs.set(owner, clock.monotonicMs() + pauseMs);
    log.warn({ owner, reason, pauseMs }, 'blocks of another fetch node are loaded here for now');
  }
}
