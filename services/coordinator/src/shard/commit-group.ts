import { limits } from '@kafscale/core';
import type { SegmentAnswer, SegmentCommit } from '@kafscale/cluster';

interface CommitCall {
  readonly segments: readonly SegmentCommit[];
  readonly resolve: (answers: readonly SegmentAnswer[]) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Commit calls that wait for the next transaction. Calls of one latency lane of an ingest node come
 * one after another, so there are at most three per node.
 */
export class CommitGroup {
  readonly #waiting: CommitCall[] = [];

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  add(segments: readonly SegmentCommit[]): Promise<readonly SegmentAnswer[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ segments, resolve, reject });
    });
  }

  /** The calls for one transaction: at least one, and not more segments than the limit beyond it. */
  take(): TakenCommits {
    const calls: CommitCall[] = [];
    let count = 0;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      count += next.segments.length;
      if (calls.length > 0 && count > limits.commitSegmentsPerTransactionMax) break;
      calls.push(next);
      this.#waiting.shift();
    }
    return new TakenCommits(calls);
  }
}

/** The calls that share a transaction. */
export class TakenCommits {
  readonly segments: readonly SegmentCommit[];
  readonly #calls: readonly CommitCall[];

  constructor(calls: readonly CommitCall[]) {
    this.#calls = calls;
    this.segments = calls.flatMap((call) => call.segments);
  }

  answer(answers: readonly SegmentAnswer[]): void {
    let from = 0;
    for (const { resolve, segments } of this.#calls) {
      resolve(answers.slice(from, from + segments.length));
      from += segments.length;
    }
  }

  fail(error: unknown): void {
    for (const { reject } of this.#calls) reject(error);
  }
}
