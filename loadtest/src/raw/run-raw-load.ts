import { fileURLToPath } from 'node:url';
import { runProgram } from '../clients/run-program.js';
import type { RawLoad, RawLoads } from './main.js';

const rawMain = fileURLToPath(new URL('./main.js', import.meta.url));
/** Ends what hangs. */
const rawMsMax = 600_000;

/** Runs a load generator as a process of its own. */
export async function runRawLoad<Kind extends keyof RawLoads>(
  load: RawLoad<Kind>,
): Promise<RawLoads[Kind]['result']> {
  const { stdout } = await runProgram({
    label: `raw ${load.kind}`,
    command: process.execPath,
    arguments: [rawMain, JSON.stringify(load)],
    timeoutMs: rawMsMax,
  });
  return JSON.parse(stdout.toString()) as RawLoads[Kind]['result'];
}
