import { segmentIdFromKey, segmentKey, segmentsPrefix } from '@kafscale/codec';
import { isOperatingError, limits } from '@kafscale/core';
import { openMetadataAudit } from '@kafscale/metadata';
import type { AuditedExtent, AuditedSegment, AuditState, MetadataAudit } from '@kafscale/metadata';
import type { ObjectInfo, ObjectStore } from '@kafscale/storage';
import { ColdCheck } from './check-cold.js';
import { checkIndex } from './check-index.js';
import { CheckTally } from './check-report.js';
import type { CheckReport } from './check-report.js';
import { checkSegment } from './check-segment.js';
import { explainObject } from './explain-object.js';

export interface CheckOptions {
  readonly objects: ObjectStore;
  readonly metadataUrl: string;
  /** Also reads every extent: its CRC-32C, and that of every batch. */
  readonly deep: boolean;
  /** Called after each of the 256 parts. */
  readonly onProgress: (donePartsShare: number) => void;
}

const partCount = 256;

/**
 * Holds the index and the objects against each other, both ways, a 256th of the keys at a time, so
 * that memory is bounded. Beside a running server: what changes meanwhile is looked at again before
 * it is called wrong. Changes nothing.
 */
export async function checkStore(options: CheckOptions): Promise<CheckReport> {
  const audit = await openMetadataAudit(options.metadataUrl);
  try {
    const state = await audit.state();
    const tally = new CheckTally();
    const { objects } = options;
    const cold = new ColdCheck({ audit, objects, tally }, state.coldExtents);
    for (let part = 0; part < partCount; part += 1) {
      const digits = part.toString(16).padStart(2, '0');
      await cold.reach(part);
      await new PartCheck(options, audit, { state, tally, digits, cold }).run();
      options.onProgress((part + 1) / partCount);
    }
    await cold.explainObjects();
    const wrongCounts = await audit.wrongCounts();
    const wrongOffsets = await audit.wrongOffsets();
    const index = await checkIndex(options.objects, state);
    const report = tally.report();
    const found = report.problems.total + wrongCounts.total + wrongOffsets.total;
    return {
      state,
      isDeep: options.deep,
      ...report,
      wrongCounts,
      wrongOffsets,
      index,
      isSound: found === 0 && index.isSound,
    };
  } finally {
    await audit.close();
  }
}

/** One 256th of the keys. */
class PartCheck {
  readonly #options: CheckOptions;
  readonly #audit: MetadataAudit;
  readonly #state: AuditState;
  readonly #tally: CheckTally;
  readonly #digits: string;
  readonly #cold: ColdCheck;

  constructor(
    options: CheckOptions,
    audit: MetadataAudit,
    part: { state: AuditState; tally: CheckTally; digits: string; cold: ColdCheck },
  ) {
    this.#options = options;
    this.#audit = audit;
    this.#state = part.state;
    this.#tally = part.tally;
    this.#digits = part.digits;
    this.#cold = part.cold;
  }

  /**
   * Rows first, objects second: an object is stored before its row is, so a row of the first look
   * has its object in the second, unless it is lost or has been collected since.
   */
  async run(): Promise<void> {
    const rows = await this.#rows();
    const unknown: ObjectInfo[] = [];
    const found: { row: AuditedSegment; object: ObjectInfo }[] = [];
    const seen = new Set<string>();
    for await (const object of this.#options.objects.list(`${segmentsPrefix}${this.#digits}/`)) {
      this.#tally.object(object.sizeBytes);
      const segmentId = segmentIdFromKey(object.key);
      const row = segmentId === undefined ? undefined : rows.get(segmentId);
      if (segmentId === undefined) this.#tally.explained('stranger', object.sizeBytes);
      else if (row === undefined) unknown.push(object);
      else {
        seen.add(segmentId);
        found.push({ row, object });
      }
    }
    await inLanes(found, ({ object, row }) => this.#checkFound(row, object));
    const missing = [...rows.values()].filter(
      ({ liveExtents, segmentId }) => liveExtents > 0 && !seen.has(segmentId),
    );
    for (const row of missing) await this.#checkMissing(row);
    await this.#explainUnknown(unknown);
  }

  async #rows(): Promise<Map<string, AuditedSegment>> {
    const cold = this.#cold.ownSegments(this.#digits);
    // Rows last: a segment that came back meanwhile counts as one that has a row.
    const rows = [...cold, ...(await this.#audit.segmentsEndingIn(this.#digits))];
    return new Map(rows.map((row) => [row.segmentId, row]));
  }

  async #checkFound(row: AuditedSegment, object: ObjectInfo): Promise<void> {
    if (row.liveExtents === 0) {
      this.#tally.explained(row.isMarked ? 'marked' : 'garbage', object.sizeBytes);
      return;
    }
    const { deep, objects } = this.#options;
    const extents = [
      ...(await this.#audit.extentsOf(row.segmentId)),
      ...this.#cold.extentsOf(row.segmentId),
    ];
    const result = await checkSegment(objects, { row, object, extents, deep });
    if (result.problems.length === 0) {
      const { sizeBytes } = object;
      this.#tally.sound({ sizeBytes, extents: extents.length, batches: result.batches });
      return;
    }
    // Compaction or retention may have taken the rows, and garbage collection the object, meanwhile.
    if ((await this.#extentsNow(row.segmentId)).length === 0) return;
    for (const problem of result.problems) this.#tally.problem(problem);
  }

  async #checkMissing(row: AuditedSegment): Promise<void> {
    const key = segmentKey(row.segmentId);
    const extents = await this.#extentsNow(row.segmentId);
    if (extents.length === 0 || (await exists(this.#options.objects, key))) return;
    this.#tally.problem({
      kind: 'lost',
      key,
      reason: `the object is not in the bucket (${row.sizeBytes} bytes, ${extents.length} extents)`,
      ranges: extents.slice(0, limits.checkFindingsPerKindMax),
    });
  }

  async #extentsNow(segmentId: string): Promise<AuditedExtent[]> {
    const rows = await this.#audit.extentsOf(segmentId);
    return [...rows, ...(await this.#cold.extentsStillOf(segmentId))];
  }

  async #explainUnknown(objects: readonly ObjectInfo[]): Promise<void> {
    const idOf = ({ key }: ObjectInfo): string => segmentIdFromKey(key) ?? '';
    // Committed since the first look: then they are known now.
    const ids = await this.#audit.unknownAmong(objects.map(idOf));
    const unknown = objects.filter((object) => ids.has(idOf(object)));
    const unrecovered = await this.#audit.unrecoveredAmong(unknown.map(idOf));
    await inLanes(unknown, async (object) => {
      const why = unrecovered.has(idOf(object))
        ? 'unrecovered'
        : await explainObject(this.#options.objects, object, this.#state);
      if (why !== null) this.#tally.explained(why, object.sizeBytes);
    });
  }
}

async function exists(objects: ObjectStore, key: string): Promise<boolean> {
  try {
    await objects.readTail(key, 1);
    return true;
  } catch (error) {
    if (isOperatingError(error) && error.code === 'OBJECT_NOT_FOUND') return false;
    throw error;
  }
}

/** A few at a time. */
async function inLanes<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let item = items[next]; item !== undefined; item = items[next]) {
      next += 1;
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: limits.checkReadsInFlightMax }, lane));
}
