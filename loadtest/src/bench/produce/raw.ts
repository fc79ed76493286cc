import type { Bench } from '../framework/bench.js';
import type { Contender } from '../framework/measure.js';
import { rawProduce } from '../loads/produce-loads.js';
import { diskYardstick } from '../loads/yardsticks.js';
import { fsyncConfigs, fsyncName } from './java.js';

const batchesKibibytes = [64, 1024] as const;

/** What the server can do when its clients do nothing per record: `npm run bench:produce -- --raw`. */
export async function rawBench(bench: Bench): Promise<void> {
  const megabytes = bench.options.quick ? 600 : 2000;
  const disk = diskYardstick(bench.dataRoot, bench.options.quick ? 400 : 1000);
  await bench.warmUp(rawProduce({ batchKibibytes: 16, megabytes: megabytes / 2 }));
  for (const batchKibibytes of batchesKibibytes) {
    await bench.compare(rawProduce({ batchKibibytes, megabytes }), {
      beside: [...fsyncRow(bench, batchKibibytes), disk],
      floor: {
        cpuSecondsPerGigabyteMax: 2.5,
        against: [
          { row: disk.name, megabytesPerSecondRatio: 0.6 },
          { row: fsyncName, megabytesPerSecondRatio: 5 },
        ],
      },
    });
  }
}

function fsyncRow({ options, peer }: Bench, batchKibibytes: number): Contender[] {
  if (peer === undefined) return [];
  const megabytes = options.quick ? 200 : 1000;
  const load = rawProduce({ batchKibibytes, megabytes, topicConfigs: fsyncConfigs });
  return [{ name: fsyncName, server: peer, load }];
}
