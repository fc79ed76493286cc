import { runBench, startServers, type Bench, type StartContext } from './framework/bench.js';
import { inFlightBench, startFarStore } from './produce/in-flight.js';
import { javaBench } from './produce/java.js';
import { rawBench } from './produce/raw.js';
import { S3Bench } from './produce/s3.js';

/** Durable MB/s and what they cost, beside Apache Kafka: `npm run bench:produce`. */
const s3Bench = new S3Bench();
await runBench({
  name: 'produce',
  runs: { quick: 2, full: 5 },
  flags: {
    raw: 'requests that were encoded beforehand instead of Java producers',
    s3: 'our segments are in a real S3 server on the same machine',
    'in-flight': 'one producer, 250 ms between flushes, an S3 server 30 ms away; nothing else',
  },
  start: (context) => startOf(context)(context),
  body: (bench) => bodyOf(bench)(bench),
});

function startOf({ options: { flags } }: StartContext): typeof startServers {
  if (flags.has('in-flight')) return startFarStore;
  return flags.has('s3') ? (context) => s3Bench.start(context) : startServers;
}

function bodyOf({ options: { flags } }: Bench): (bench: Bench) => Promise<void> {
  if (flags.has('in-flight')) return inFlightBench;
  if (!flags.has('s3')) return flags.has('raw') ? rawBench : javaBench;
  return flags.has('raw') ? (bench) => s3Bench.raw(bench) : (bench) => s3Bench.java(bench);
}
