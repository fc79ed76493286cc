import { invariant } from '@kafscale/core';
import { startApacheKafka } from '../../peers/apache-kafka.js';
import { startStandalone } from '../../peers/kafscale-standalone.js';
import { startBenchS3Server, type BenchS3Server } from '../../peers/s3-server.js';
import type { Bench, StartContext, StartedServers } from '../framework/bench.js';
import { javaProduce, rawProduce } from '../loads/produce-loads.js';
import { bestParallelism, sdkYardstick } from '../loads/yardsticks.js';

/**
 * The same with our segments in a real S3 server, which has the two cores with us: `npm run
 * bench:produce -- --s3`. With `--raw` beside what the SDK alone gets from that server.
 */
export class S3Bench {
  #store: BenchS3Server | undefined;

  async start({ dataRoot, defer, options }: StartContext): Promise<StartedServers> {
    const store = await startBenchS3Server({ dataRoot });
    defer(() => store.stop());
    this.#store = store;
    const { flags, only, profileDir } = options;
    const ours = await startStandalone({
      dataRoot,
      profileDir,
      settings: store.settings('segments'),
      storePids: [store.pid],
      description: `kafscale standalone, embedded PostgreSQL, segments in ${store.description}`,
    });
    defer(() => ours.dispose());
    if (flags.has('raw') || only === 'ours') return { ours };
    const peer = await startApacheKafka({ dataRoot });
    defer(() => peer.dispose());
    return { ours, peer };
  }

  async java(bench: Bench): Promise<void> {
    const { quick } = bench.options;
    await bench.warmUp(rawProduce({ batchKibibytes: 16, megabytes: quick ? 200 : 1000 }));
    for (const producers of [1, 4]) {
      const megabytes = quick ? 300 : 1000;
      await bench.compare(javaProduce({ profile: 'batched', producers, megabytes }), {
        floor: { megabytesPerSecondRatio: 0.8 },
      });
    }
    // Bound by five small requests per flush; shown, not promised.
    const megabytes = quick ? 20 : 100;
    for (const producers of [1, 4]) {
      await bench.compare(javaProduce({ profile: 'defaults', producers, megabytes }));
    }
  }

  async raw(bench: Bench): Promise<void> {
    invariant(this.#store !== undefined, 'servers are started first');
    const { only, quick } = bench.options;
    const megabytes = quick ? 600 : 2000;
    await bench.warmUp(rawProduce({ batchKibibytes: 16, megabytes: megabytes / 2 }));
    const parallelism = await bestParallelism(this.#store, megabytes / 2);
    const sdk = sdkYardstick({ store: this.#store, megabytes, parallelism });
    const name = `SDK, ${parallelism} PUTs of 8 MiB at once`;
    for (const batchKibibytes of [64, 1024]) {
      await bench.compare(rawProduce({ batchKibibytes, megabytes }), {
        beside: only === 'ours' ? [] : [{ ...sdk, name }],
        floor: { against: [{ row: name, megabytesPerSecondRatio: 0.7 }] },
      });
    }
  }
}
