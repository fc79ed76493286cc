import { runBench, type Bench } from './framework/bench.js';
import { fillTopic, javaFetch, rawFetch, type FilledTopic } from './loads/fetch-loads.js';

/** Catch-up reads of what was just written, beside Apache Kafka: `npm run bench:fetch`. */
await runBench({ name: 'fetch', runs: { quick: 3, full: 5 }, body: fetchBench });

async function fetchBench(bench: Bench): Promise<void> {
  const { options, servers } = bench;
  const topic: FilledTopic = {
    name: 'catch-up',
    megabytes: options.quick ? 1000 : 2000,
    batchKibibytes: 16,
  };
  for (const server of servers) await fillTopic(server, topic);
  await bench.compare(javaFetch(topic), {
    floor: { megabytesPerSecondRatio: 0.7, residentMegabytesMax: 700 },
  });
  await bench.compare(rawFetch(topic, { connections: 1, passes: 1 }));
  await bench.compare(rawFetch(topic, { connections: 4, passes: options.quick ? 2 : 4 }));
}
