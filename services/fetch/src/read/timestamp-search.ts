import type { Extent, PartitionHead } from '@kafscale/cluster';
import { errorCodes } from '@kafscale/codec';
import { describeError, invariant, isOperatingError } from '@kafscale/core';
import type { BlockLoader } from '../blocks/block-loader.js';
import { Lease } from '../blocks/lease.js';
import type { LoadedExtent } from '../blocks/verify-extent.js';
import type { ExtentIndex } from '../extents/extent-index.js';
import type { FetchLog } from '../fetch-log.js';
import type { FetchCoordinator, FetchReplica } from '../replica.js';
import { findRecordAtOrAfter, findRecordOfMaxTimestamp, type FoundRecord } from './find-record.js';
import { readFailureCode } from './partition-outcome.js';

export interface TimestampSearchOptions {
  readonly replica: FetchReplica;
  readonly coordinator: FetchCoordinator;
  readonly index: ExtentIndex;
  readonly loader: BlockLoader;
  readonly log: FetchLog;
}

/** `found`: null when no record has such a timestamp. `failed`: Kafka's error code. */
export type SearchResult =
  | { readonly kind: 'found'; readonly record: FoundRecord | null }
  | { readonly kind: 'failed'; readonly errorCode: number };

/** Compaction replaces an extent a few times in its life, not while somebody looks for a record. */
const replacementsMax = 3;

/** A record by its timestamp: to the extent by the index, then to the batch, then to the record. */
export class TimestampSearch {
  readonly #options: TimestampSearchOptions;

  constructor(options: TimestampSearchOptions) {
    this.#options = options;
  }

  /** The first record, in offset order, at or after that time. */
  atOrAfter(head: PartitionHead, timestampMs: number, signal: AbortSignal): Promise<SearchResult> {
    return this.#guard(head, async () => {
      const { coordinator, index } = this.#options;
      const first = await coordinator.findExtentByTimestamp(head.partitionId, timestampMs);
      const wish = { logStartOffset: head.logStartOffset, timestampMs };
      const from = (offset: number): Promise<Extent | null> =>
        this.#nextExtent(head, offset, timestampMs, signal);
      // Nearly always the first extent has the record. It may be below the log start, or its
      // producer may have claimed a greater timestamp than any of its records has: then on.
      let extent = first && index.isDivided(first) ? await from(first.baseOffset) : first;
      let replacements = 0;
      while (extent !== null && extent.baseOffset < head.highWatermark && !signal.aborted) {
        const result = await this.#searchExtent(head, extent, (loaded) =>
          findRecordAtOrAfter(loaded, wish),
        );
        if (result.kind === 'replaced' && replacements++ < replacementsMax) {
          extent = await from(extent.baseOffset);
          continue;
        }
        if (result.kind === 'replaced') return this.#failure(head, extent, 'replaced again');
        if (result.kind === 'failed' || result.record !== null) return result;
        extent = await from(extent.nextOffset);
      }
      return { kind: 'found', record: null };
    });
  }

  /** The first record with the partition's greatest timestamp. */
  ofMaxTimestamp(head: PartitionHead): Promise<SearchResult> {
    return this.#guard(head, async () => {
      const { coordinator } = this.#options;
      for (let replacements = 0; ; replacements++) {
        const row = await coordinator.findExtentOfMaxTimestamp(head.partitionId);
        const extent = row && (await this.#partOfMaxTimestamp(head, row));
        if (extent === null) return { kind: 'found', record: null };
        const result = await this.#searchExtent(head, extent, (loaded) =>
          findRecordOfMaxTimestamp(loaded, head.logStartOffset),
        );
        if (result.kind !== 'replaced') return result;
        if (replacements === replacementsMax) {
          return this.#failure(head, extent, 'replaced again');
        }
      }
    });
  }

  /** The first of its live parts that has the greatest timestamp of them; the row if it has no parts. */
  async #partOfMaxTimestamp(head: PartitionHead, row: Extent): Promise<Extent | null> {
    const { index } = this.#options;
    if (!index.isDivided(row)) return row;
    const start = Math.max(row.baseOffset, head.logStartOffset);
    if (start >= row.nextOffset) return null;
    const found = await index.lookUp(row.partitionId, start);
    let best: Extent | null = null;
    for (const part of found) {
      if (part.baseOffset >= row.nextOffset) break;
      if (best === null || part.maxTimestampMs > best.maxTimestampMs) best = part;
    }
    return best ?? row;
  }

  async #searchExtent(
    head: PartitionHead,
    extent: Extent,
    search: (loaded: LoadedExtent) => Promise<FoundRecord | null>,
  ): Promise<SearchResult | { readonly kind: 'replaced' }> {
    const { loader } = this.#options;
    const { leaderEpoch } = head;
    const loading = { arrival: 0, leaderEpoch, loadClass: 'catchUp' } as const;
    const lease = new Lease();
    const result = await loader.load({ extent, ...loading }, lease);
    if (result.kind === 'loaded') {
      try {
        return { kind: 'found', record: await search(result.loaded) };
      } finally {
        lease.release();
      }
    }
    if (result.kind === 'gone' && !loader.isBad(extent)) {
      if (await this.#isReplaced(extent)) return { kind: 'replaced' };
      loader.reportLost(extent, result.reason);
    }
    return this.#failure(head, extent, result.reason);
  }

  #failure({ partitionId }: PartitionHead, extent: Extent, reason: string): SearchResult {
    const failure = { kind: 'storage', reason } as const;
    const at = { partitionId, offset: extent.nextOffset - 1 };
    return { kind: 'failed', errorCode: readFailureCode(this.#options.replica, at, failure) };
  }

  /** The object is gone: whether the index names another one by now. */
  async #isReplaced(gone: Extent): Promise<boolean> {
    const { index } = this.#options;
    index.invalidate(gone.partitionId);
    const [now] = await index.lookUp(gone.partitionId, gone.baseOffset);
    return now !== undefined && now.segmentId !== gone.segmentId;
  }

  /** The next extent from `offset` on whose row claims such a timestamp. */
  async #nextExtent(
    head: PartitionHead,
    offset: number,
    timestampMs: number,
    signal: AbortSignal,
  ): Promise<Extent | null> {
    let next = Math.max(offset, head.logStartOffset);
    while (next < head.highWatermark && !signal.aborted) {
      const extents = await this.#options.index.lookUp(head.partitionId, next);
      const match = extents.find((extent) => extent.maxTimestampMs >= timestampMs);
      if (match !== undefined) return match;
      const last = extents.at(-1);
      if (last === undefined) return null;
      invariant(last.nextOffset > next, 'a lookup makes progress');
      next = last.nextOffset;
    }
    return null;
  }

  async #guard(head: PartitionHead, search: () => Promise<SearchResult>): Promise<SearchResult> {
    try {
      return await search();
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      const { partitionId } = head;
      const reason = describeError(error);
      if (recordErrors.has(error.code)) {
        this.#options.log.warn({ partitionId, reason }, 'records can not be decoded');
        return { kind: 'failed', errorCode: errorCodes.CORRUPT_MESSAGE };
      }
      return { kind: 'failed', errorCode: errorCodes.NOT_LEADER_OR_FOLLOWER };
    }
  }
}

/** Of a producer that sent a valid header before records that are not what it says. */
const recordErrors = new Set([
  'BATCH_CORRUPT',
  'RECORDS_CORRUPT',
  'RECORDS_TOO_LARGE',
  'COMPRESSION_UNSUPPORTED',
]);
