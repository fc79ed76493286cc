import { runBench, startServers } from './framework/bench.js';
import { coldBench } from './fetch/cold.js';
import { pageCacheBench } from './fetch/page-cache.js';

/** Catch-up reads: `npm run bench:fetch`. */
await runBench({
  name: 'fetch',
  runs: { quick: 3, full: 5 },
  flags: {
    s3: 'from a real S3 server with cold memory, beside what the SDK alone gets from it; nothing else',
  },
  start: (context) =>
    context.options.flags.has('s3') ? Promise.resolve({}) : startServers(context),
  body: (bench) => (bench.options.flags.has('s3') ? coldBench(bench) : pageCacheBench(bench)),
});
