import type { IngestService, RecentSegmentView } from '@kafscale/cluster';
import { segmentKey } from '@kafscale/codec';
import { describeError, isOperatingError } from '@kafscale/core';
import type { ObjectStore } from '@kafscale/storage';
import type { FetchMetrics } from '../metrics.js';
import type { HedgedReads } from './hedged-reads.js';
import type { LoadFailure } from './load-queue.js';

/** The writers of recent segments: the part of IngestService that reading needs. */
export type RecentSegmentReader = Pick<IngestService, 'readRecentSegment' | 'viewRecentSegment'>;

export interface SegmentSourceOptions {
  readonly store: Pick<ObjectStore, 'read'>;
  /** Of that store, if it is remote. */
  readonly hedged?: HedgedReads | undefined;
  /** The ingest node of that id, or undefined if it is not live. */
  readonly recentSegments: (nodeId: number) => RecentSegmentReader | undefined;
  readonly metrics: FetchMetrics;
}

/** Where bytes of segments come from. */
export class SegmentSource {
  readonly #options: SegmentSourceOptions;
  /**
   * Per writer, the newest arrival that it had forgotten already: it forgets in the order in which
   * it wrote, so it is not asked for anything older again.
   */
  readonly #forgottenUpTo = new Map<number, number>();

  constructor(options: SegmentSourceOptions) {
    this.#options = options;
  }

  /** A segment in the memory of its writer, if that is in this process and still has it. */
  viewOfWriter(
    writerNodeId: number,
    segmentId: string,
    onWanted: () => void,
  ): RecentSegmentView | null {
    const writer = this.#options.recentSegments(writerNodeId);
    return writer?.viewRecentSegment?.(segmentId, onWanted) ?? null;
  }

  /**
   * From the memory of the node that wrote the segment, or null: it does not have them any more, is
   * gone, or fails. The bytes are the caller's: what the writer hands out must not be changed, and
   * these are about to be stamped, so they are a copy.
   */
  async readFromWriter(
    writerNodeId: number,
    arrival: number,
    range: { readonly segmentId: string; readonly position: number; readonly length: number },
  ): Promise<Buffer | null> {
    if (arrival <= (this.#forgottenUpTo.get(writerNodeId) ?? 0)) return null;
    const writer = this.#options.recentSegments(writerNodeId);
    if (writer === undefined) {
      // A node that is gone does not come back under its id.
      this.#forget(writerNodeId, arrival);
      return null;
    }
    try {
      const bytes = await writer.readRecentSegment(range.segmentId, range.position, range.length);
      if (bytes === null || bytes.length !== range.length) {
        this.#forget(writerNodeId, arrival);
        return null;
      }
      this.#options.metrics.count('fetch_writer_reads_total');
      const copy = Buffer.allocUnsafeSlow(bytes.length);
      bytes.copy(copy);
      return copy;
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      // The store has the same bytes, so a writer that fails costs a read and nothing else.
      this.#forget(writerNodeId, arrival);
      return null;
    }
  }

  /** From the object store: exactly those bytes, in `into` or the caller's own, or why not. */
  async readFromStore(
    segmentId: string,
    position: number,
    length: number,
    into?: Buffer,
  ): Promise<Buffer | LoadFailure> {
    const { store, hedged, metrics } = this.#options;
    metrics.count('fetch_store_reads_total');
    try {
      const key = segmentKey(segmentId);
      const reading = hedged
        ? hedged.read(key, position, length, into)
        : store.read(key, position, length, { into });
      const bytes = await reading;
      metrics.count('fetch_store_read_bytes_total', bytes.length);
      if (bytes.length === length) return bytes;
      return { kind: 'damaged', reason: `${bytes.length} bytes instead of ${length}` };
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      metrics.count('fetch_store_read_errors_total');
      return { kind: failureKind(error.code), reason: describeError(error) };
    }
  }

  #forget(writerNodeId: number, arrival: number): void {
    const known = this.#forgottenUpTo.get(writerNodeId) ?? 0;
    // Bounded: old node ids go first. Forgetting that one forgot costs one question.
    this.#forgottenUpTo.delete(writerNodeId);
    this.#forgottenUpTo.set(writerNodeId, Math.max(known, arrival));
    for (const oldest of this.#forgottenUpTo.keys()) {
      if (this.#forgottenUpTo.size <= writersRememberedMax) break;
      this.#forgottenUpTo.delete(oldest);
    }
  }
}

const writersRememberedMax = 1024;

function failureKind(code: string): LoadFailure['kind'] {
  if (code === 'OBJECT_NOT_FOUND') return 'gone';
  return code === 'RANGE_NOT_SATISFIABLE' ? 'damaged' : 'unavailable';
}
