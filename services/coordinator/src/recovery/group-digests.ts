import type { IndexGroup } from '@kafscale/codec';
import { limits } from '@kafscale/core';
import { createHash } from 'node:crypto';

/**
 * What the index says of each group, as a digest: consumers commit the same offsets over and over,
 * and that is no change.
 */
export class GroupDigests {
  readonly #written = new Map<string, string>();

  /** The records of groups that have changed. They count as written: forget() if they are not. */
  async *changedOf(
    pages: AsyncIterable<readonly IndexGroup[]>,
  ): AsyncGenerator<readonly IndexGroup[], void> {
    for await (const page of pages) {
      const records = new Map<string, IndexGroup[]>();
      for (const record of page) {
        const known = records.get(record.groupId);
        if (known === undefined) records.set(record.groupId, [record]);
        else known.push(record);
      }
      yield [...records.values()].filter((group) => this.#isNew(group)).flat();
    }
  }

  forget(): void {
    this.#written.clear();
  }

  #isNew(records: readonly IndexGroup[]): boolean {
    const [first] = records;
    if (first === undefined) return false;
    const digest = digestOf(records);
    if (this.#written.get(first.groupId) === digest) return false;
    if (this.#written.size >= limits.indexGroupDigestsMax) this.#written.clear();
    this.#written.set(first.groupId, digest);
    return true;
  }
}

function digestOf(records: readonly IndexGroup[]): string {
  const hash = createHash('sha256');
  for (const { generationId, isDeleted, offsets, protocolType } of records) {
    hash.update(`${isDeleted} ${generationId} ${JSON.stringify(protocolType)}\n`);
    for (const offset of offsets) {
      hash.update(
        `${offset.topicId} ${offset.partitionIndex} ${offset.committedOffset} ${offset.leaderEpoch} ${offset.metadata.length} `,
      );
      hash.update(offset.metadata);
    }
  }
  return hash.digest('base64');
}
