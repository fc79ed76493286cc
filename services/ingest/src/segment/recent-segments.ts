import { invariant } from '@kafscale/core';
import type { SealedSegment } from './sealed-segment.js';

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

  /** It will not be committed. */
  hide(segment: SealedSegment): void {
    this.#uncommitted.delete(segment.source.segmentId);
  }

  /** Takes over the segment's memory and gives it back to its pool when it is evicted. */
  keep(segment: SealedSegment): void {
    this.#uncommitted.delete(segment.source.segmentId);
    const memoryBytes = segment.source.chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    if (memoryBytes > this.#bytesMax) return segment.source.release();
    this.#segments.set(segment.source.segmentId, { segment, memoryBytes });
    this.#bytes += memoryBytes;
    for (const [segmentId, oldest] of this.#segments) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#segments.delete(segmentId);
      this.#bytes -= oldest.memoryBytes;
      oldest.segment.source.release();
    }
  }

  /** A copy of the object's bytes in that range; null if this node does not have all of them. */
  read(segmentId: string, position: number, length: number): Buffer | null {
    const segment = this.#segments.get(segmentId)?.segment ?? this.#uncommitted.get(segmentId);
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
        copied += chunk.copy(bytes, from - position, start, start + to - from);
      }
      objectPosition += batch.length;
      if (objectPosition >= position + length) break;
    }
    return copied === length ? bytes : null;
  }

  clear(): void {
    for (const { segment } of this.#segments.values()) segment.source.release();
    this.#segments.clear();
    this.#bytes = 0;
  }
}
