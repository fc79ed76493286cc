import { limits } from '@kafscale/core';
import { mergeRowColumns } from '@kafscale/metadata';
import type { MergePlan } from '@kafscale/metadata';

/** One index row: from where in the old segment to where in the new one. */
export interface MergePiece {
  readonly segment: number;
  readonly position: number;
  readonly length: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly isAbsolute: boolean;
  readonly leaderEpoch: number;
  readonly skippedBatches: readonly number[];
  /** Of its first byte in the memory of the merge, which leaves room for all bytes of all rows. */
  readonly target: number;
  /** Bytes that were kept: fewer than `length` when batches were refused. */
  kept: number;
}

/** A range of one segment, and the pieces within it. */
export interface MergeRead {
  readonly segment: number;
  readonly position: number;
  readonly length: number;
  readonly pieces: readonly MergePiece[];
}

const none: readonly number[] = Object.freeze([]);

/** The rows of a plan in the order of their runs, each behind the one before it. */
export function piecesOf(plan: MergePlan): MergePiece[] {
  const pieces: MergePiece[] = [];
  let target = 0;
  for (const run of plan.runs) {
    const { rows } = run;
    let { baseOffset } = run;
    for (let index = 0; index < run.rowCount; index += 1) {
      const at = index * mergeRowColumns.count;
      const length = rows[at + mergeRowColumns.length] ?? 0;
      const nextOffset = rows[at + mergeRowColumns.nextOffset] ?? 0;
      pieces.push({
        segment: rows[at + mergeRowColumns.segment] ?? -1,
        position: rows[at + mergeRowColumns.position] ?? -1,
        length,
        baseOffset,
        nextOffset,
        isAbsolute: rows[at + mergeRowColumns.isAbsolute] === 1,
        leaderEpoch: run.leaderEpoch,
        skippedBatches: run.skippedBatches.get(index) ?? none,
        target,
        kept: 0,
      });
      baseOffset = nextOffset;
      target += length;
    }
  }
  return pieces;
}

/** As few ranged reads as the limits allow: usually one per fresh segment. */
export function readsOf(pieces: readonly MergePiece[]): MergeRead[] {
  const sorted = pieces
    .slice()
    .sort((left, right) => left.segment - right.segment || left.position - right.position);
  const reads: MergeRead[] = [];
  let members: MergePiece[] = [];
  let end = 0;
  const flush = (): void => {
    const [first] = members;
    if (first === undefined) return;
    const { position, segment } = first;
    reads.push({ segment, position, length: end - position, pieces: members });
    members = [];
  };
  for (const piece of sorted) {
    const [first] = members;
    const pieceEnd = piece.position + piece.length;
    const isNear =
      first?.segment === piece.segment &&
      piece.position - end <= limits.coalescedReadGapBytesMax &&
      pieceEnd - first.position <= limits.compactionReadBytesMax;
    if (!isNear) flush();
    members.push(piece);
    end = pieceEnd;
  }
  flush();
  return reads;
}
