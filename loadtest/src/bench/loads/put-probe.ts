import { randomBytes } from 'node:crypto';
import { systemClock } from '@kafscale/core';
import { openObjectStore } from '@kafscale/storage';
import { crc32c } from '@node-rs/crc32';
import type { BenchS3Server } from '../../peers/s3-server.js';
import { latencyFigures, type LatencyFigures } from '../../raw/latency-figures.js';

/** What a PUT of this size takes when nothing else is asked of the store: one after another. */
export async function probePuts(
  server: BenchS3Server,
  { bytes, count }: { readonly bytes: number; readonly count: number },
): Promise<LatencyFigures> {
  const { accessKeyId, bucket, endpoint, region, secretAccessKey } = server;
  const store = openObjectStore(`s3://${bucket}/probe-${bytes}`, {
    endpoint,
    region,
    pathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  });
  const object = randomBytes(bytes);
  const checksum = crc32c(object);
  const latenciesMs = new Float64Array(count);
  try {
    await store.put('warm-up', [object], checksum);
    for (const index of latenciesMs.keys()) {
      const startMs = systemClock.monotonicMs();
      await store.put(`object-${index}`, [object], checksum);
      latenciesMs[index] = systemClock.monotonicMs() - startMs;
    }
  } finally {
    await store.close();
  }
  return latencyFigures(latenciesMs);
}
