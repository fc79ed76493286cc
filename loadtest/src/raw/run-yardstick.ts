import { fileURLToPath } from 'node:url';
import { runProgram } from '../clients/run-program.js';
import type { LoadResult } from './produce-load.js';
import type { Yardstick } from './yardstick-main.js';

const yardstickMain = fileURLToPath(new URL('./yardstick-main.js', import.meta.url));
const yardstickMsMax = 240_000;

export async function runYardstick(yardstick: Yardstick): Promise<LoadResult> {
  const { stdout } = await runProgram({
    label: `yardstick ${yardstick.kind}`,
    command: process.execPath,
    arguments: [yardstickMain, JSON.stringify(yardstick)],
    environment: { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' },
    timeoutMs: yardstickMsMax,
  });
  return JSON.parse(stdout.toString()) as LoadResult;
}
