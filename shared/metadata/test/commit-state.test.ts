import { describe, expect, it } from 'vitest';

import { CommitFixture, errorCodes, flat, idempotentBatch } from './support/commits.js';
import { useTestDatabases } from './support/test-databases.js';

const databases = useTestDatabases();
const outOfOrder = -errorCodes.outOfOrderSequence;

/** A commit reads columns, not rows: each value must end at the partition and producer it is of. */
describe('what a commit reads', () => {
  it('gives every producer its own epoch and batches, however many it has', async () => {
    const f = await CommitFixture.create(await databases.openStore(), 3);
    const partitions = [0, 1, 2].map((index) => f.partitionId(index));
    // On partition i, producer p sends p + i batches of p records each, in epoch i.
    const producers = [1, 2, 3];
    const sent = partitions.flatMap((partitionId, index) =>
      producers.flatMap((producer) =>
        Array.from({ length: producer + index }, (_, batch) => ({
          partitionId,
          batch: idempotentBatch(producer, batch * producer, producer, index),
        })),
      ),
    );
    const offsets: number[][] = [];
    for (const { batch, partitionId } of sent) offsets.push(await f.append(partitionId, batch));
    expect(offsets.flat().every((offset) => offset >= 0)).toBe(true);
    // All of it again, in one segment: every batch is a duplicate, and is told where it is.
    const again = f.segment(
      partitions.map((partitionId) => [
        partitionId,
        ...sent.filter((each) => each.partitionId === partitionId).map(({ batch }) => batch),
      ]),
    );
    const [answer] = await f.commit(again);
    expect(flat(answer).flat()).toEqual(offsets.flat());
  });

  it('goes on from the ends of partitions that were moved by others meanwhile', async () => {
    const f = await CommitFixture.create(await databases.openStore(), 3);
    const [p, q, r] = [f.partitionId(0), f.partitionId(1), f.partitionId(2)];
    await f.append(q, idempotentBatch(1, 0, 7));
    await f.append(p, idempotentBatch(1, 0, 3));
    // Named in another order than that of the locks, and one that has nothing yet.
    const segment = f.segment([
      [r, idempotentBatch(1, 0, 2)],
      [q, idempotentBatch(1, 7, 1)],
      [p, idempotentBatch(1, 3, 1)],
    ]);
    const { answers, extents } = await f.store.commitSegments(f.lease, [segment]);
    expect(flat(answers[0])).toEqual([[0], [7], [3]]);
    expect(extents.map(({ partitionId, baseOffset }) => [partitionId, baseOffset])).toEqual([
      [r, 0],
      [q, 7],
      [p, 3],
    ]);
  });

  it('knows which of the producers came from the bucket', async () => {
    const f = await CommitFixture.create(await databases.openStore());
    const p = f.partitionId();
    await f.append(p, idempotentBatch(1, 0), idempotentBatch(2, 0));
    await f.store.database.write(
      (sql) => sql`UPDATE producers SET is_restored = true WHERE producer_id = 2`,
    );
    // The state may be behind its producer: it goes on, once. The other one has a gap.
    expect(await f.append(p, idempotentBatch(1, 5), idempotentBatch(2, 5))).toEqual([
      outOfOrder,
      2,
    ]);
    expect(await f.append(p, idempotentBatch(2, 9))).toEqual([outOfOrder]);
  });

  it('names the right segment in every index row, of several in one transaction', async () => {
    const f = await CommitFixture.create(await databases.openStore());
    const [p, q] = [f.partitionId(0), f.partitionId(1)];
    const one = f.segment([
      [p, idempotentBatch(1, 0)],
      [q, idempotentBatch(1, 0)],
    ]);
    const two = f.segment([
      [q, idempotentBatch(1, 1)],
      [p, idempotentBatch(1, 1)],
    ]);
    await f.commit(one, two);
    for (const partitionId of [p, q]) {
      const rows = await f.store.findExtents(partitionId, 0, 10);
      expect(rows.map(({ baseOffset, segmentId }) => [baseOffset, segmentId])).toEqual([
        [0, one.segmentId],
        [1, two.segmentId],
      ]);
    }
  });
});
