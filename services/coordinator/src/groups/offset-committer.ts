import { limits } from '@kafscale/core';
import type { OffsetCommitment } from '@kafscale/metadata';
import { groupError } from './group-errors.js';

interface Waiting {
  readonly commitment: OffsetCommitment;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Offset commits of all groups of a shard, one transaction at a time; those that come meanwhile
 * share the next. So they are written in the order in which the groups admitted them: a commit of an
 * old generation, admitted before the rebalance, is never written over one of the new generation.
 */
export class OffsetCommitter {
  readonly #write: (commitments: readonly OffsetCommitment[]) => Promise<void>;
  readonly #waiting: Waiting[] = [];
  #isWriting = false;

  constructor(write: (commitments: readonly OffsetCommitment[]) => Promise<void>) {
    this.#write = write;
  }

  /** Resolves when the offsets are durable. Rejects with OperatingErrors of the store. */
  commit(commitment: OffsetCommitment): Promise<void> {
    if (this.#waiting.length >= limits.offsetCommitsWaitingMax) {
      const message = 'too many offset commits wait for the metadata store';
      return Promise.reject(groupError('OFFSET_COMMITS_TOO_MANY', message));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ commitment, resolve, reject });
      if (!this.#isWriting) void this.#writeAll();
    });
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    while (this.#waiting.length > 0) {
      const batch = this.#take();
      try {
        await this.#write(batch.map(({ commitment }) => commitment));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#isWriting = false;
  }

  /** At least one, and not more rows than the limit beyond it. */
  #take(): Waiting[] {
    let rows = 0;
    let count = 0;
    for (const { commitment } of this.#waiting) {
      rows += commitment.offsets.length;
      if (count > 0 && rows > limits.offsetCommitRowsPerTransactionMax) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }
}
