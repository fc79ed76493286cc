import type { Extent } from '@kafscale/cluster';
import { decodeSegmentFooter, type SegmentFooter, segmentKey } from '@kafscale/codec';
import { invariant, isOperatingError, limits } from '@kafscale/core';
import type { ObjectStore } from '@kafscale/storage';
import type { FetchMetrics } from '../metrics.js';

export interface BatchIndexesOptions {
  readonly store: Pick<ObjectStore, 'readTail'>;
  readonly metrics: FetchMetrics;
  /** Parts in memory at most, over all segments. */
  readonly entriesMax: number;
  /** Larger extents have parts. */
  readonly undividedBytesMax: number;
}

/** Where parts of a segment's large extents begin: position, base offset, max timestamp each. */
type PartStarts = Float64Array;
const columnCount = 3;

/**
 * Divides large extents of compacted segments into parts that are loaded and cached by themselves. A
 * part looks like an extent: whole batches, with a position, a length and offsets. Where they begin is
 * in the segment's footer (docs/segment-format.md), which is read once and kept for a while.
 */
export class BatchIndexes {
  readonly #options: BatchIndexesOptions;
  /** In order of use, oldest first. */
  readonly #known = new Map<string, PartStarts>();
  readonly #reading = new Map<string, Promise<PartStarts>>();
  #entryCount = 0;

  constructor(options: BatchIndexesOptions) {
    this.#options = options;
  }

  get entryCount(): number {
    return this.#entryCount;
  }

  /** Whether the extent is large enough to have parts. */
  isDivided(extent: Extent): boolean {
    return extent.absoluteOffsets && extent.length > this.#options.undividedBytesMax;
  }

  /**
   * The parts of an extent; the extent itself where its footer does not help: it is then loaded as a
   * whole, and what is wrong with its object shows there. Rejects when the store does not answer.
   */
  async partsOf(extent: Extent): Promise<readonly Extent[]> {
    if (!this.isDivided(extent)) return [extent];
    return divide(extent, await this.#startsOf(extent.segmentId)) ?? [extent];
  }

  async #startsOf(segmentId: string): Promise<PartStarts> {
    const known = this.#known.get(segmentId);
    if (known !== undefined) {
      this.#known.delete(segmentId);
      this.#known.set(segmentId, known);
      return known;
    }
    const underWay = this.#reading.get(segmentId);
    if (underWay !== undefined) return underWay;
    const reading = this.#read(segmentId).finally(() => this.#reading.delete(segmentId));
    this.#reading.set(segmentId, reading);
    return reading;
  }

  async #read(segmentId: string): Promise<PartStarts> {
    try {
      const starts = startsIn(await this.#readFooter(segmentId));
      this.#keep(segmentId, starts);
      return starts;
    } catch (error) {
      if (!isOperatingError(error) || !unusableCodes.has(error.code)) throw error;
      return none;
    }
  }

  async #readFooter(segmentId: string): Promise<SegmentFooter> {
    for (let length: number = limits.segmentTailBytes; ;) {
      const { metrics, store } = this.#options;
      metrics.count('fetch_store_reads_total');
      const { bytes, sizeBytes } = await store.readTail(segmentKey(segmentId), length);
      metrics.count('fetch_store_read_bytes_total', bytes.length);
      const decoded = decodeSegmentFooter(bytes, sizeBytes);
      if (decoded.kind === 'footer') return decoded.footer;
      invariant(decoded.tailBytes > length, 'a longer tail is asked for once');
      length = decoded.tailBytes;
    }
  }

  #keep(segmentId: string, starts: PartStarts): void {
    this.#known.set(segmentId, starts);
    this.#entryCount += costOf(starts);
    for (const [oldest, theirs] of this.#known) {
      if (this.#entryCount <= this.#options.entriesMax) break;
      this.#known.delete(oldest);
      this.#entryCount -= costOf(theirs);
    }
  }
}

/** Lost, cut off, or damaged. */
const unusableCodes = new Set([
  'OBJECT_NOT_FOUND',
  'RANGE_NOT_SATISFIABLE',
  'SEGMENT_CORRUPT',
  'SEGMENT_UNRECOGNIZED',
  'SEGMENT_VERSION_UNSUPPORTED',
]);

const none: PartStarts = new Float64Array(0);

/** A segment without parts counts as well. */
function costOf(starts: PartStarts): number {
  return 1 + starts.length / columnCount;
}

function startsIn({ batchIndex = [] }: SegmentFooter): PartStarts {
  const starts = new Float64Array(batchIndex.length * columnCount);
  for (const [index, { baseOffset, maxTimestampMs, position }] of batchIndex.entries()) {
    starts.set([position, baseOffset, maxTimestampMs], index * columnCount);
  }
  return starts;
}

/** Undefined where the entries are not those of the extent. */
function divide(extent: Extent, starts: PartStarts): Extent[] | undefined {
  const end = extent.position + extent.length;
  const parts: Extent[] = [];
  for (let at = firstAtOrBehind(starts, extent.position); at < starts.length; at += columnCount) {
    const position = starts[at] ?? 0;
    const baseOffset = starts[at + 1] ?? 0;
    if (position >= end) break;
    const before = parts.at(-1);
    const isFirst = position === extent.position && baseOffset === extent.baseOffset;
    if (before === undefined ? !isFirst : baseOffset <= before.baseOffset) return undefined;
    if (baseOffset >= extent.nextOffset) return undefined;
    const nextStart = starts[at + columnCount] ?? Infinity;
    const isLast = nextStart >= end;
    parts.push({
      ...extent,
      baseOffset,
      nextOffset: isLast ? extent.nextOffset : (starts[at + columnCount + 1] ?? 0),
      position,
      length: Math.min(nextStart, end) - position,
      maxTimestampMs: starts[at + 2] ?? 0,
    });
  }
  return parts.length === 0 ? undefined : parts;
}

function firstAtOrBehind(starts: PartStarts, position: number): number {
  let low = 0;
  let high = starts.length / columnCount;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((starts[middle * columnCount] ?? Infinity) < position) low = middle + 1;
    else high = middle;
  }
  return low * columnCount;
}
