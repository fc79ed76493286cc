import { runBench, type Bench, type OtherRow } from './framework/bench.js';
import { javaProduce, rawProduce } from './loads/produce-loads.js';

const residentMegabytesMax = 700;

/** Durable MB/s and what they cost, beside Apache Kafka: `npm run bench:produce`. */
await runBench({ name: 'produce', runs: { quick: 2, full: 5 }, body: produceBench });

async function produceBench(bench: Bench): Promise<void> {
  const { quick } = bench.options;
  await bench.warmUp(rawProduce({ batchKibibytes: 16, megabytes: quick ? 300 : 1000 }));
  await bench.compare(javaProduce({ profile: 'defaults', megabytes: quick ? 150 : 500 }), {
    floor: { megabytesPerSecondRatio: 0.5, residentMegabytesMax },
    others: fsyncRow(bench),
  });
  await bench.compare(javaProduce({ profile: 'batched', megabytes: quick ? 300 : 1000 }), {
    floor: { megabytesPerSecondRatio: 0.8, residentMegabytesMax },
  });
  await bench.compare(rawProduce({ batchKibibytes: 64, megabytes: quick ? 400 : 2000 }));
  await bench.compare(rawProduce({ batchKibibytes: 1024, megabytes: quick ? 400 : 2000 }));
}

/**
 * Kafka with the durability that we promise. `flush.messages` is log.flush.interval.messages of one
 * topic, so that the same warm broker serves it.
 */
function fsyncRow({ peer }: Bench): OtherRow[] {
  if (peer === undefined) return [];
  const topicConfigs = { 'flush.messages': '1' };
  const load = javaProduce({ profile: 'defaults', megabytes: 100, topicConfigs });
  const contender = { name: `${peer.name}, fsync before ack (100 MB)`, server: peer, load };
  return [{ contender, runs: 2 }];
}
