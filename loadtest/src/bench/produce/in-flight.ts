import { startStandalone } from '../../peers/kafscale-standalone.js';
import { S3Proxy } from '../../peers/s3-proxy.js';
import { startBenchS3Server } from '../../peers/s3-server.js';
import type { Bench, StartContext, StartedServers } from '../framework/bench.js';
import { javaProduce, rawProduce } from '../loads/produce-loads.js';

const flushIntervalMs = 250;
const putDelayMs = 30;

/** Our server alone, whose store takes 30 ms longer for every PUT. */
export async function startFarStore({
  dataRoot,
  defer,
  options,
}: StartContext): Promise<StartedServers> {
  const store = await startBenchS3Server({ dataRoot });
  defer(() => store.stop());
  const proxy = await S3Proxy.start(store.endpoint, { putDelayMs });
  defer(() => proxy.stop());
  const ours = await startStandalone({
    dataRoot,
    profileDir: options.profileDir,
    settings: {
      ...store.settings('segments', proxy.endpoint),
      KAFSCALE_FLUSH_INTERVAL_MS: String(flushIntervalMs),
    },
    storePids: [store.pid],
    description:
      `kafscale standalone, embedded PostgreSQL, flush interval ${flushIntervalMs} ms, segments in ` +
      `${store.description}, through a proxy that adds ${putDelayMs} ms to every PUT`,
  });
  defer(() => ours.dispose());
  return { ours };
}

/**
 * One producer with five requests in flight, as idempotent clients have: `npm run bench:produce --
 * --in-flight`. One request per flush would allow a request in flush interval plus PUT; five that
 * share a flush allow five times that; ten times and more needs flushes that do not wait out their
 * age when nothing more can come.
 */
export async function inFlightBench(bench: Bench): Promise<void> {
  const { quick } = bench.options;
  for (const batchKibibytes of [64, 1024]) {
    const onePerFlush = (batchKibibytes * 1.024e-3) / ((flushIntervalMs + putDelayMs) / 1000);
    const megabytes = Math.round(onePerFlush * (quick ? 50 : 200));
    await bench.compare(rawProduce({ batchKibibytes, megabytes, connections: 1 }), {
      floor: {
        megabytesPerSecondMin: {
          megabytesPerSecond: 10 * onePerFlush,
          of: `10× what one request per flush allows (${onePerFlush.toFixed(2)} MB/s)`,
        },
      },
    });
  }
  await bench.compare(javaProduce({ profile: 'defaults', megabytes: quick ? 20 : 100 }));
  await bench.compare(javaProduce({ profile: 'batched', megabytes: quick ? 200 : 1000 }));
}
