import type { RecentSegmentView } from '@kafscale/cluster';
import { copyInto, invariant } from '@kafscale/core';
import { SegmentView } from './recent-segment-view.js';
import type { SealedSegment } from './sealed-segment.js';

/** Who looks at a segment, and what he is told when its memory is wanted back. */
interface Viewers {
  readonly onWanted: Set<() => void>;
  /** Its memory goes back when the last of them is gone. */
  isGivenUp: boolean;
}

interface RecentSegment {
  readonly segment: SealedSegment;
  readonly memoryBytes: number;
}

/**
 * The segments that this node committed last, still in the memory that they were collected in, so
 * that tailing fetch nodes need no GET. Bounded by bytes of memory, oldest out first.
 */
export class RecentSegments {
  readonly #segments = new Map<string, RecentSegment>();
  /** Uploaded, and perhaps committed: their memory is still the pipeline's. */
  readonly #uncommitted = new Map<string, SealedSegment>();
  /**
   * Weak: a view may be lost without being let go (a response to a client that is gone). Then nobody
   * knows of the segment any more but its entry here, which must not keep 8 MiB for ever.
   */
  readonly #viewers = new WeakMap<SealedSegment, Viewers>();
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * The segment can be read from now on. Before its commit is answered here, because the feed may tell
   * a fetch node of the commit first.
   */
  show(segment: SealedSegment): void {
    this.#uncommitted.set(segment.source.segmentId, segment);
  }

  /** It is not known to be committed: its memory goes back. */
  drop(segment: SealedSegment): void {
    this.#uncommitted.delete(segment.source.segmentId);
    this.#giveBack(segment);
  }

  /** Takes over the segment's memory and gives it back to its pool when it is evicted. */
  keep(segment: SealedSegment): void {
    this.#uncommitted.delete(segment.source.segmentId);
    const { memoryBytes } = segment.source;
    if (memoryBytes > this.#bytesMax) return this.#giveBack(segment);
    this.#segments.set(segment.source.segmentId, { segment, memoryBytes });
    this.#bytes += memoryBytes;
    for (const [segmentId, oldest] of this.#segments) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#segments.delete(segmentId);
      this.#bytes -= oldest.memoryBytes;
      this.#giveBack(oldest.segment);
    }
  }

  /** A copy of the object's bytes in that range; null if this node does not have all of them. */
  read(segmentId: string, position: number, length: number): Buffer | null {
    const segment = this.#find(segmentId);
    if (segment === undefined || length <= 0) return null;
    const bytes = Buffer.allocUnsafeSlow(length);
    let objectPosition = 0;
    let copied = 0;
    for (const [index, batch] of segment.batches.entries()) {
      if (segment.isCorrupt(index)) continue;
      const from = Math.max(position, objectPosition);
      const to = Math.min(position + length, objectPosition + batch.length);
      if (from < to) {
        const chunk = segment.source.chunks[batch.chunk];
        invariant(chunk !== undefined, 'a kept segment keeps its chunks');
        const start = batch.position + from - objectPosition;
        copyInto(chunk.subarray(start, start + to - from), bytes, from - position);
        copied += to - from;
      }
      objectPosition += batch.length;
      if (objectPosition >= position + length) break;
    }
    return copied === length ? bytes : null;
  }

  /**
   * The bytes themselves, for a reader in this process. They stay as long as he looks at them;
   * `onWanted` asks him to stop when they are to make room.
   */
  view(segmentId: string, onWanted: () => void): RecentSegmentView | null {
    const segment = this.#find(segmentId);
    if (segment === undefined) return null;
    const viewers = this.#viewers.get(segment) ?? { onWanted: new Set(), isGivenUp: false };
    this.#viewers.set(segment, viewers);
    // Its own function, so that two readers may pass the same one.
    const tell = (): void => onWanted();
    viewers.onWanted.add(tell);
    return new SegmentView(segment, () => {
      viewers.onWanted.delete(tell);
      if (viewers.onWanted.size > 0) return;
      this.#viewers.delete(segment);
      if (viewers.isGivenUp) segment.source.release();
    });
  }

  #find(segmentId: string): SealedSegment | undefined {
    return this.#segments.get(segmentId)?.segment ?? this.#uncommitted.get(segmentId);
  }

  #giveBack(segment: SealedSegment): void {
    const viewers = this.#viewers.get(segment);
    if (viewers === undefined) return segment.source.release();
    viewers.isGivenUp = true;
    for (const tell of viewers.onWanted) tell();
  }

  clear(): void {
    for (const { segment } of this.#segments.values()) this.#giveBack(segment);
    this.#segments.clear();
    this.#bytes = 0;
  }
}
