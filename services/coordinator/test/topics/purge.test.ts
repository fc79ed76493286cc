import { expect, it, onTestFinished } from 'vitest';
import { TopicPurge } from '../../src/topics/purge.js';
import { OwnerProcess, query, usePostgres } from '../shard/world.js';

const { database } = usePostgres();

it('that a lost lease has stopped goes on with the next one, not after its pause', async () => {
  const { owner, store, url } = await OwnerProcess.start(await database());
  const topic = await owner.create({ name: 'events', partitionCount: 2, configs: new Map() });
  await owner.delete(topic.topicId);
  const lease = { ...owner.lease!, epoch: owner.lease!.epoch - 1 };
  const stops: object[] = [];
  const purge = new TopicPurge({
    store,
    lease: () => lease,
    log: { info: () => {}, warn: (fields) => void stops.push(fields), error: () => {} },
    onPurged: () => {},
    thaw: () => Promise.resolve(false),
    retryMs: 600_000,
  });
  onTestFinished(() => purge.close());
  purge.wake();
  await expect.poll(() => stops).toEqual([{ code: 'SHARD_LEASE_LOST' }]);
  lease.epoch = owner.lease!.epoch;
  purge.wake();
  const left = () => query(url, 'SELECT FROM partitions');
  await expect.poll(left).toHaveLength(0);
});
