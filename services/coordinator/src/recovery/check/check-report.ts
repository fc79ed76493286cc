import { limits } from '@kafscale/core';
import type { AuditState, CountFinding, Findings, OffsetsFinding } from '@kafscale/metadata';

/**
 * What is wrong. `lost`: records that can't be read; `damaged`: bytes that are not what was written;
 * `inconsistent`: the index contradicts itself or an object.
 */
export type ProblemKind = 'lost' | 'damaged' | 'inconsistent';

export interface Problem {
  readonly kind: ProblemKind;
  /** Of the object, or null. */
  readonly key: string | null;
  readonly reason: string;
  /** What can't be read because of it; a bounded number. */
  readonly ranges: readonly {
    readonly topic: string;
    readonly partitionIndex: number;
    readonly baseOffset: number;
    readonly nextOffset: number;
  }[];
}

/** Objects that no index row refers to, by why they are there. */
export const explanations = {
  garbage: 'nothing refers to it any more; to be marked',
  marked: 'marked as garbage; deleted after the wait',
  young: 'younger than the grace: perhaps about to be committed',
  orphan: 'uploaded and never committed; the sweep removes it',
  unrecovered: 'stored after the last manifest before a recovery; left alone',
  earlier: 'of an earlier incarnation; left alone',
  unclaimed: 'unreferenced, and older than the last complete sweep; left alone',
  stranger: 'not a segment; left alone',
  replaced: 'an index object that is in use no more; deleted after the wait',
  stray: 'an index object that nothing names; left alone',
} as const;
export type Explanation = keyof typeof explanations;

export interface Tally {
  readonly objects: number;
  readonly bytes: number;
}

export interface CheckReport {
  readonly state: AuditState;
  readonly isDeep: boolean;
  readonly objects: Tally;
  /** Objects that index rows refer to and that are as they should be. */
  readonly sound: Tally & { readonly extents: number; readonly batches: number };
  readonly explained: { readonly [Name in Explanation]: Tally };
  readonly problems: Findings<Problem>;
  readonly wrongCounts: Findings<CountFinding>;
  readonly wrongOffsets: Findings<OffsetsFinding>;
  readonly index: IndexCheck;
  /** Nothing is wrong. */
  readonly isSound: boolean;
}

/** Whether the bucket alone would be enough right now (P7). */
export interface IndexCheck {
  readonly isSound: boolean;
  /** null: there is no index yet. */
  readonly lastSequence: number | null;
  readonly snapshotSequence: number | null;
  /** Database time of the last manifest, ms. */
  readonly databaseTimeMs: number | null;
  readonly problems: readonly string[];
}

/** Counts everything, and keeps a bounded number of problems. */
export class CheckTally {
  readonly #explained = new Map<Explanation, { objects: number; bytes: number }>();
  readonly #problems: Problem[] = [];
  #problemsTotal = 0;
  #objects = { objects: 0, bytes: 0 };
  #sound = { objects: 0, bytes: 0, extents: 0, batches: 0 };

  object(sizeBytes: number): void {
    this.#objects.objects += 1;
    this.#objects.bytes += sizeBytes;
  }

  sound(counts: { sizeBytes: number; extents: number; batches: number }): void {
    this.#sound.objects += 1;
    this.#sound.bytes += counts.sizeBytes;
    this.#sound.extents += counts.extents;
    this.#sound.batches += counts.batches;
  }

  explained(why: Explanation, sizeBytes: number): void {
    const tally = this.#explained.get(why) ?? { objects: 0, bytes: 0 };
    this.#explained.set(why, { objects: tally.objects + 1, bytes: tally.bytes + sizeBytes });
  }

  problem(problem: Problem): void {
    this.#problemsTotal += 1;
    if (this.#problems.length < limits.checkFindingsPerKindMax) this.#problems.push(problem);
  }

  report(): Pick<CheckReport, 'objects' | 'sound' | 'explained' | 'problems'> {
    const none = { objects: 0, bytes: 0 };
    const names = Object.keys(explanations) as Explanation[];
    const explained = names.map((name) => [name, this.#explained.get(name) ?? none] as const);
    return {
      objects: this.#objects,
      sound: this.#sound,
      explained: Object.fromEntries(explained) as CheckReport['explained'],
      problems: { total: this.#problemsTotal, items: this.#problems },
    };
  }
}
