import { isOperatingError } from '@kafscale/core';
import { runFetchLoad, type FetchLoad } from './fetch-load.js';
import { runProduceLoad, type ProduceLoad } from './produce-load.js';

/**
 * The load generators as a process of their own, so that their CPU time is not that of the benchmark:
 * `main.js '{"kind": "produce", …}'` prints the result as JSON.
 */
export type RawLoad = ({ kind: 'produce' } & ProduceLoad) | ({ kind: 'fetch' } & FetchLoad);

const load = JSON.parse(process.argv[2] ?? '') as RawLoad;
try {
  const run = load.kind === 'produce' ? runProduceLoad(load) : runFetchLoad(load);
  console.log(JSON.stringify(await run));
} catch (error) {
  console.error(isOperatingError(error) ? `${error.code}: ${error.message}` : error);
  process.exit(1);
}
