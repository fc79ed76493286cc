import { runBench, startServers, type Bench, type BenchDeclaration } from './framework/bench.js';
import { javaBench } from './produce/java.js';
import { rawBench } from './produce/raw.js';
import { S3Bench } from './produce/s3.js';

const flags = {
  raw: 'requests that were encoded beforehand instead of Java producers',
  s3: 'ours stores in a real S3 server on the same machine',
} as const;

/** Durable MB/s and what they cost, beside Apache Kafka: `npm run bench:produce`. */
const s3 = new S3Bench();
await runBench({
  name: 'produce',
  runs: { quick: 2, full: 5 },
  flags,
  start: (context) => (context.options.flags.has('s3') ? s3.start(context) : startServers(context)),
  body: (bench) => bodyOf(bench)(bench),
} satisfies BenchDeclaration);

function bodyOf({ options }: Bench): BenchDeclaration['body'] {
  const isRaw = options.flags.has('raw');
  if (options.flags.has('s3')) return isRaw ? (bench) => s3.raw(bench) : (bench) => s3.java(bench);
  return isRaw ? rawBench : javaBench;
}
