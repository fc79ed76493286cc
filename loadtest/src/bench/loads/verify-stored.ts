import { OperatingError } from '@kafscale/core';
import type { BenchServer } from '../../peers/bench-server.js';
import { AdminClient, type TopicToCreate } from '../../raw/admin-client.js';

/** The partitions that the benchmarks of issue and peers alike use. */
export const benchPartitions = 6;

export async function createTopic(server: BenchServer, topic: TopicToCreate): Promise<void> {
  await withAdmin(server, (admin) => admin.createTopic(topic));
}

export async function endOffsetsOf(
  server: BenchServer,
  topic: string,
  partitions = benchPartitions,
): Promise<number[]> {
  return await withAdmin(server, (admin) => admin.endOffsets(topic, partitions));
}

/** No figure may stand for records that were not stored, or that were stored twice. */
export async function verifyStored(
  server: BenchServer,
  topic: string,
  records: number,
  partitions = benchPartitions,
): Promise<void> {
  const endOffsets = await endOffsetsOf(server, topic, partitions);
  const stored = endOffsets.reduce((sum, each) => sum + each, 0);
  if (stored !== records) {
    const message = `${server.name} acknowledged ${records} records of ${topic} and has ${stored}`;
    throw new OperatingError('RECORDS_MISSING', message);
  }
}

async function withAdmin<Result>(
  server: BenchServer,
  use: (admin: AdminClient) => Promise<Result>,
): Promise<Result> {
  const admin = await AdminClient.connect(server.address);
  try {
    return await use(admin);
  } finally {
    admin.close();
  }
}
