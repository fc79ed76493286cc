import { describe, expect, it } from 'vitest';

import { readShard } from '../src/index.js';
import { batchOf, CommitFixture } from './support/commits.js';
import { useTestDatabases } from './support/test-databases.js';

const databases = useTestDatabases();

describe('extents committed since a time', () => {
  it('are all there once, over many pages and many commits of one moment', async () => {
    const fixture = await CommitFixture.create(await databases.openStore());
    const partitionId = fixture.partitionId();
    const oneSegment = () => fixture.segment([[partitionId, batchOf(1)]]);
    for (let call = 0; call < 5; call += 1) {
      // oxlint-disable-next-line no-await-in-loop
      await fixture.commit(...Array.from({ length: 10 }, oneSegment));
    }
    const readSince = (databaseTimeMs: number): Promise<number[]> =>
      readShard(fixture.store, fixture.lease, async (shard) => {
        const offsets: number[] = [];
        for await (const page of shard.extentsCommittedSince(databaseTimeMs)) {
          offsets.push(...page.map(({ baseOffset }) => baseOffset));
        }
        return offsets.sort((left, right) => left - right);
      });
    expect(await readSince(0)).toEqual(Array.from({ length: 50 }, (_, offset) => offset));
    expect(await readSince(fixture.node.databaseTimeMs + 3_600_000)).toEqual([]);
  });
});
