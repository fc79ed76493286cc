import { CheckFailedError } from './ledger.js';
import type { Report } from './report.js';
import { runProgram } from './run-program.js';
import type { CheckedServer } from './server.js';

export interface RefusalOptions {
  readonly server: CheckedServer;
  readonly report: Report;
  readonly runId: string;
}

/** What a client is told about what it cannot have: at once, and by the name of the reason. */
export async function checkRefusals(options: RefusalOptions): Promise<void> {
  const { server, report, runId } = options;
  const topic = `kcat-refusals-${runId}`;
  const produce = ['-P', '-b', server.bootstrap, '-t', topic, '-p', '0'];
  await report.step(
    'a record above message.max.bytes is refused, the next one is not',
    async () => {
      const record = Buffer.alloc(2_000_000, 'x');
      const large = ['-X', 'message.max.bytes=10000000'];
      await expectFailure([...produce, ...large], record, /Message size too large/);
      await runKcat(produce, Buffer.from('small\n'));
    },
  );
  if (server.hasTransactions) return;
  await report.step('a transactional producer is refused', () =>
    expectFailure(
      [...produce, '-X', `transactional.id=${topic}`],
      Buffer.from('small\n'),
      /Transactional Id authorization failed/,
    ),
  );
}

/** Below the 5 minutes for which librdkafka tries what is not refused for good. */
const refusalMsMax = 60_000;

async function runKcat(parameters: readonly string[], input: Buffer): Promise<void> {
  await runProgram({
    label: 'kcat',
    command: 'kcat',
    arguments: parameters,
    input,
    timeoutMs: refusalMsMax,
  });
}

async function expectFailure(
  parameters: readonly string[],
  input: Buffer,
  reason: RegExp,
): Promise<void> {
  const said = await runKcat(parameters, input).then(
    () => 'it succeeded',
    (error: Error) => error.message,
  );
  if (!reason.test(said)) throw new CheckFailedError(`wanted ${String(reason)}, got: ${said}`);
}
