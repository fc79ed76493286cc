import type { Bench } from '../framework/bench.js';
import type { Contender } from '../framework/measure.js';
import { javaProduce, rawProduce } from '../loads/produce-loads.js';

const residentMegabytesMax = 700;

/** `flush.messages` is log.flush.interval.messages of one topic: the same warm broker serves it. */
export const fsyncConfigs = { 'flush.messages': '1' } as const;
export const fsyncName = 'Kafka, fsync before ack';

interface Variant {
  readonly profile: 'defaults' | 'batched';
  readonly producers: number;
  readonly megabytes: { readonly quick: number; readonly full: number };
}

const variants: readonly Variant[] = [
  { profile: 'defaults', producers: 1, megabytes: { quick: 100, full: 500 } },
  { profile: 'defaults', producers: 4, megabytes: { quick: 120, full: 600 } },
  { profile: 'batched', producers: 1, megabytes: { quick: 300, full: 1000 } },
  { profile: 'batched', producers: 4, megabytes: { quick: 300, full: 1000 } },
];

/** With Kafka's own producer, one and four: `npm run bench:produce`. */
export async function javaBench(bench: Bench): Promise<void> {
  const { quick } = bench.options;
  await bench.warmUp(rawProduce({ batchKibibytes: 16, megabytes: quick ? 300 : 1000 }));
  for (const { megabytes, producers, profile } of variants) {
    const load = javaProduce({
      profile,
      producers,
      megabytes: quick ? megabytes.quick : megabytes.full,
    });
    await bench.compare(load, {
      beside: profile === 'defaults' ? fsyncRow(bench, producers) : [],
      floor: {
        megabytesPerSecondRatio: 1,
        cpuSecondsPerGigabyteRatioMax: 1,
        residentMegabytesMax,
        against: [{ row: fsyncName, megabytesPerSecondRatio: 5 }],
      },
    });
  }
}

/** Kafka with the durability that we promise. */
function fsyncRow({ options, peer }: Bench, producers: number): Contender[] {
  if (peer === undefined) return [];
  const megabytes = options.quick ? 40 : 200;
  const load = javaProduce({
    profile: 'defaults',
    producers,
    megabytes,
    topicConfigs: fsyncConfigs,
  });
  return [{ name: fsyncName, server: peer, load }];
}
