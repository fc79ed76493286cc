import { coldRangeKey, coldRangesPrefix, parseColdRangeKey } from '@kafscale/codec';
import type { ColdExtent } from '@kafscale/codec';
import { isOperatingError, limits } from '@kafscale/core';
import type {
  AuditedColdRange,
  AuditedExtent,
  AuditedSegment,
  MetadataAudit,
} from '@kafscale/metadata';
import type { ObjectStore } from '@kafscale/storage';
import { isLostOrDamaged, readColdExtents } from '../../cold/cold-objects.js';
import type { CheckTally } from './check-report.js';

interface ColdSegment {
  readonly row: AuditedSegment;
  /** With the range that each is in. */
  readonly extents: { readonly objectId: string; readonly extent: AuditedExtent }[];
}

const partCount = 256;

/**
 * What cold ranges say of segments, for as many of the 256 parts of their ids at a time as a bounded
 * number of extents allows: all objects are read once per so many parts.
 */
export class ColdCheck {
  readonly #audit: MetadataAudit;
  readonly #objects: ObjectStore;
  readonly #tally: CheckTally;
  readonly #partsAtOnce: number;
  #segments = new Map<string, ColdSegment>();
  #loadedTo = 0;
  readonly #reported = new Set<string>();

  constructor(
    parts: { audit: MetadataAudit; objects: ObjectStore; tally: CheckTally },
    extentsTotal: number,
    extentsMax: number = limits.checkColdExtentsMax,
  ) {
    this.#audit = parts.audit;
    this.#objects = parts.objects;
    this.#tally = parts.tally;
    const share = Math.floor((partCount * extentsMax) / Math.max(1, extentsTotal));
    this.#partsAtOnce = Math.min(partCount, Math.max(1, share));
  }

  /** Before the segments of this part are asked for. Parts come in order. */
  async reach(part: number): Promise<void> {
    if (part < this.#loadedTo) return;
    this.#loadedTo = part + this.#partsAtOnce;
    this.#segments = new Map();
    for (const range of await this.#audit.coldRanges()) {
      try {
        const extents = await readColdExtents(this.#objects, range);
        for (const extent of extents) {
          const digits = Number.parseInt(extent.segmentId.slice(-2), 16);
          if (digits >= part && digits < this.#loadedTo) this.#add(range, extent);
        }
      } catch (error) {
        if (!isOperatingError(error) || !isLostOrDamaged(error.code)) throw error;
        await this.#report(range, error.code, error.message);
      }
    }
  }

  /** Of the segments that have no other row, those whose ids end in the two hex digits. */
  ownSegments(digits: string): AuditedSegment[] {
    return [...this.#segments.values()]
      .filter(({ row }) => row.segmentId.endsWith(digits) && row.liveExtents > 0)
      .map(({ row }) => row);
  }

  extentsOf(segmentId: string): AuditedExtent[] {
    return this.#segments.get(segmentId)?.extents.map(({ extent }) => extent) ?? [];
  }

  /** Those that are in cold ranges still: what changes meanwhile is not wrong. */
  async extentsStillOf(segmentId: string): Promise<AuditedExtent[]> {
    const extents = this.#segments.get(segmentId)?.extents ?? [];
    if (extents.length === 0) return [];
    const states = await this.#audit.coldStates(extents.map(({ objectId }) => objectId));
    return extents
      .filter(({ objectId }) => states.get(objectId) === 'live')
      .map(({ extent }) => extent);
  }

  /** Objects of cold ranges that are in use no more, or that nothing names. */
  async explainObjects(): Promise<void> {
    for await (const { key, sizeBytes } of this.#objects.list(coldRangesPrefix)) {
      const objectId = parseColdRangeKey(key);
      const states = objectId === undefined ? null : await this.#audit.coldStates([objectId]);
      const state = objectId === undefined ? undefined : states?.get(objectId);
      if (state !== 'live')
        this.#tally.explained(state === undefined ? 'stray' : 'replaced', sizeBytes);
    }
  }

  async #report(range: AuditedColdRange, code: string, message: string): Promise<void> {
    const { objectId } = range;
    if (this.#reported.has(objectId)) return;
    if ((await this.#audit.coldStates([objectId])).get(objectId) !== 'live') return;
    this.#reported.add(objectId);
    this.#tally.problem({
      kind: code === 'OBJECT_NOT_FOUND' ? 'lost' : 'damaged',
      key: coldRangeKey(objectId),
      reason: `the index of ${range.extents} extents is in it: ${code}: ${message}`,
      ranges: [range],
    });
  }

  #add(range: AuditedColdRange, extent: ColdExtent): void {
    const { segmentId } = extent;
    const known = this.#segments.get(segmentId) ?? {
      row: {
        segmentId,
        sizeBytes: extent.segmentBytes,
        liveExtents: extent.isShared ? 0 : 1,
        isMarked: false,
      },
      extents: [],
    };
    this.#segments.set(segmentId, known);
    known.extents.push({
      objectId: range.objectId,
      extent: {
        topic: range.topic,
        topicId: range.topicId,
        partitionIndex: range.partitionIndex,
        baseOffset: extent.baseOffset,
        nextOffset: extent.nextOffset,
        position: extent.position,
        length: extent.length,
        skippedBatches: extent.skippedBatches,
        absoluteOffsets: extent.absoluteOffsets,
      },
    });
  }
}
