import { isOperatingError } from '@kafscale/core';
import type { CommitLoad, CommitResult } from './commit-load.js';
import { runFetchLoad, type FetchLoad } from './fetch-load.js';
import { runLedgerCheck, type LedgerCheckLoad, type LedgerCheckResult } from './ledger-check.js';
import { runLedgerLoad, type LedgerLoad, type LedgerResult } from './ledger-load.js';
import { runOpenLoopLoad, type OpenLoopLoad, type OpenLoopResult } from './open-loop-load.js';
import { runTailLoad, type TailLoad, type TailResult } from './tail-load.js';
import { runProduceLoad, type LoadResult, type ProduceLoad } from './produce-load.js';

/** What each kind of load takes and gives. */
export interface RawLoads {
  readonly produce: { readonly load: ProduceLoad; readonly result: LoadResult };
  readonly fetch: { readonly load: FetchLoad; readonly result: LoadResult };
  readonly commit: { readonly load: CommitLoad; readonly result: CommitResult };
  readonly ledger: { readonly load: LedgerLoad; readonly result: LedgerResult };
  readonly ledgerCheck: { readonly load: LedgerCheckLoad; readonly result: LedgerCheckResult };
  readonly tail: { readonly load: TailLoad; readonly result: TailResult };
  readonly openLoop: { readonly load: OpenLoopLoad; readonly result: OpenLoopResult };
}

/**
 * The load generators as a process of their own, so that their CPU time is not that of the benchmark:
 * `main.js '{"kind": "produce", …}'` prints the result as JSON.
 */
export type RawLoad<Kind extends keyof RawLoads = keyof RawLoads> = {
  readonly [Each in Kind]: { readonly kind: Each } & RawLoads[Each]['load'];
}[Kind];

const load = JSON.parse(process.argv[2] ?? '') as RawLoad;
try {
  console.log(JSON.stringify(await run(load)));
} catch (error) {
  console.error(isOperatingError(error) ? `${error.code}: ${error.message}` : error);
  process.exit(1);
}

async function run(asked: RawLoad): Promise<RawLoads[keyof RawLoads]['result']> {
  if (asked.kind === 'produce') return await runProduceLoad(asked);
  if (asked.kind === 'fetch') return await runFetchLoad(asked);
  if (asked.kind === 'tail') return await runTailLoad(asked);
  if (asked.kind === 'commit') {
    // What links between processes need is not loaded for the others.
    const { runCommitLoad } = await import('./commit-load.js');
    return await runCommitLoad(asked);
  }
  if (asked.kind === 'ledger') return await runLedgerLoad(asked);
  if (asked.kind === 'ledgerCheck') return await runLedgerCheck(asked);
  return await runOpenLoopLoad(asked);
}
