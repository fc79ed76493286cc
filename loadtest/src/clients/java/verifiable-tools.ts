import { z } from 'zod';
import { CheckFailedError } from '../ledger.js';
import type { Report } from '../report.js';
import type { JavaTools } from './java-tool.js';

export interface VerifiableOptions {
  readonly tools: JavaTools;
  readonly report: Report;
  readonly topic: string;
  readonly runId: string;
}

const recordsMax = 2_000;

/** The pair of Kafka's system tests: what one says was acknowledged, the other must be given. */
export async function checkVerifiableTools(options: VerifiableOptions): Promise<void> {
  const { tools, report, topic, runId } = options;
  const count = String(recordsMax);
  const acknowledged = await report.step(`VerifiableProducer, ${count} records`, async () => {
    const events = await runVerifiable(
      tools,
      'VerifiableProducer',
      [
        ['--topic', topic, '--max-messages', count, '--acks', '-1'],
        ['--repeating-keys', '100'],
      ].flat(),
    );
    return recordsOf(events, 'producer_send_success');
  });
  if (acknowledged.length !== recordsMax) {
    throw new CheckFailedError(`only ${acknowledged.length} records were acknowledged`);
  }
  await report.step('VerifiableConsumer, classic group', async () => {
    const events = await runVerifiable(
      tools,
      'VerifiableConsumer',
      [
        ['--topic', topic, '--max-messages', count, '--verbose', '--reset-policy', 'earliest'],
        ['--group-id', `java-verifiable-${runId}`, '--group-protocol', 'classic'],
      ].flat(),
    );
    compare(acknowledged, recordsOf(events, 'record_data'));
    const commits = events.filter(({ name }) => name === 'offsets_committed');
    if (commits.length === 0 || commits.some(({ success }) => success !== true)) {
      throw new CheckFailedError(`commits: ${JSON.stringify(commits)}`);
    }
  });
}

const eventSchema = z.looseObject({
  name: z.string().optional(),
  success: z.boolean().optional(),
  partition: z.number().optional(),
  offset: z.number().optional(),
  key: z.string().nullish(),
  value: z.string().optional(),
});

type VerifiableEvent = z.infer<typeof eventSchema>;

async function runVerifiable(
  tools: JavaTools,
  tool: string,
  parameters: readonly string[],
): Promise<VerifiableEvent[]> {
  const said = await tools.run(tool, parameters);
  const lines = said.split('\n').filter((line) => line.startsWith('{'));
  return lines.map((line) => eventSchema.parse(JSON.parse(line)));
}

/** In the order of partition and offset. */
function recordsOf(events: readonly VerifiableEvent[], name: string): string[] {
  return events
    .filter((event) => event.name === name)
    .toSorted(
      (left, right) =>
        (left.partition ?? -1) - (right.partition ?? -1) ||
        (left.offset ?? -1) - (right.offset ?? -1),
    )
    .map(({ partition, offset, key, value }) => `${partition} ${offset} ${key} ${value}`);
}

function compare(acknowledged: readonly string[], consumed: readonly string[]): void {
  for (const [index, record] of acknowledged.entries()) {
    if (record === consumed[index]) continue;
    throw new CheckFailedError(
      `acknowledged "${record}", consumed "${consumed[index]}" (partition, offset, key, value)`,
    );
  }
  if (consumed.length > acknowledged.length) {
    throw new CheckFailedError(`"${consumed[acknowledged.length]}" was consumed too`);
  }
}
