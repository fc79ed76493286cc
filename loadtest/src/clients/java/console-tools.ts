import { CheckFailedError } from '../ledger.js';
import type { Report } from '../report.js';
import { partitionsPerTopic } from '../scenario.js';
import type { CheckedServer } from '../server.js';
import type { JavaTools } from './java-tool.js';

export interface ConsoleOptions {
  readonly tools: JavaTools;
  readonly report: Report;
  readonly server: CheckedServer;
  readonly runId: string;
}

interface ConsoleRecord {
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  /** Headers, key and value, as they were typed. */
  readonly text: string;
}

const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];
const recordsPerCodec = 60;

/** Typed lines in, printed lines out, and what the group and offset tools say about them. */
export async function checkConsoleTools(options: ConsoleOptions): Promise<void> {
  const { tools, report, server, runId } = options;
  const topic = `java-console-${runId}`;
  const group = `java-console-${runId}`;
  const typed: string[] = [];
  for (const codec of codecs) {
    await report.step(`kafka-console-producer, ${codec}`, async () => {
      const lines = Array.from({ length: recordsPerCodec }, (_, index) => lineOf(codec, index));
      await tools.run('ConsoleProducer', producerOptions(topic, codec), `${lines.join('\n')}\n`);
      typed.push(...lines);
    });
  }
  const { control } = server;
  if (control !== undefined) {
    await report.step('stop the server, start it again', () => control.restartCleanly());
  }
  const records = await report.step('kafka-console-consumer in a group', async () => {
    const consumed = await consumeAll(tools, {
      topic,
      group,
      count: typed.length,
      quietMsMax: 60_000,
    });
    compare(typed, consumed);
    return consumed;
  });
  await report.step('nothing more for the group', async () => {
    const more = await consumeAll(tools, { topic, group, count: typed.length, quietMsMax: 5_000 });
    if (more.length > 0) throw new CheckFailedError(`it got ${JSON.stringify(more[0])}`);
  });
  await report.step('kafka-consumer-groups --describe, --list', () =>
    checkGroup(tools, group, typed.length),
  );
  await report.step('kafka-get-offsets: latest, earliest, max timestamp, by time', () =>
    checkOffsets(tools, topic, records),
  );
}

function lineOf(codec: string, index: number): string {
  return `codec:${codec},trace:${codec}-${index}\tkey-${index % 17}\t${codec} value ${index} — äöü`;
}

function producerOptions(topic: string, codec: string): string[] {
  const properties = ['parse.headers=true', 'parse.key=true'];
  return [
    ['--topic', topic, '--compression-codec', codec],
    ...properties.flatMap((property) => ['--reader-property', property]),
  ].flat();
}

/** Ends when it has them all, or when none has come for `quietMsMax`. */
async function consumeAll(
  tools: JavaTools,
  what: { topic: string; group: string; count: number; quietMsMax: number },
): Promise<ConsoleRecord[]> {
  const { count, group, quietMsMax, topic } = what;
  const printed = ['timestamp', 'partition', 'offset', 'headers', 'key'];
  const said = await tools.run(
    'consumer.ConsoleConsumer',
    [
      ['--topic', topic, '--group', group, '--from-beginning'],
      ['--max-messages', String(count), '--timeout-ms', String(quietMsMax)],
      ...printed.flatMap((name) => ['--formatter-property', `print.${name}=true`]),
    ].flat(),
  );
  const line = /^CreateTime:(\d+)\tPartition:(\d+)\tOffset:(\d+)\t(.*)$/gm;
  return [...said.matchAll(line)].map(([, timestamp, partition, offset, text = '']) => ({
    timestamp: Number(timestamp),
    partition: Number(partition),
    offset: Number(offset),
    text,
  }));
}

/** Everything typed came once, and each partition has its records in the order of typing. */
function compare(typed: readonly string[], consumed: readonly ConsoleRecord[]): void {
  const order = new Map(typed.map((text, index) => [text, index]));
  if (consumed.length !== typed.length) {
    throw new CheckFailedError(`${typed.length} records came back as ${consumed.length}`);
  }
  const last = new Map<number, { offset: number; index: number }>();
  for (const { partition, offset, text } of consumed) {
    const index = order.get(text);
    if (index === undefined)
      throw new CheckFailedError(`this was not typed, or came twice: ${text}`);
    order.delete(text);
    const previous = last.get(partition) ?? { offset: -1, index: -1 };
    if (offset !== previous.offset + 1 || index <= previous.index) {
      throw new CheckFailedError(
        `partition ${partition}: offset ${offset} is out of order: ${text}`,
      );
    }
    last.set(partition, { offset, index });
  }
}

async function checkGroup(tools: JavaTools, group: string, count: number): Promise<void> {
  const groups = await tools.run('consumer.group.ConsumerGroupCommand', ['--list']);
  if (!groups.split('\n').includes(group)) throw new CheckFailedError(`not listed:\n${groups}`);
  const said = await tools.run(
    'consumer.group.ConsumerGroupCommand',
    [['--describe', '--group', group]].flat(),
  );
  // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG …
  const rows = said
    .split('\n')
    .map((row) => row.trim().split(/\s+/))
    .filter(([name]) => name === group);
  const committed = rows.reduce((sum, row) => sum + Number(row[3]), 0);
  const lag = rows.reduce((sum, row) => sum + Number(row[5]), 0);
  if (rows.length !== partitionsPerTopic || committed !== count || lag !== 0) {
    throw new CheckFailedError(`${count} records are committed, but --describe said:\n${said}`);
  }
}

async function checkOffsets(
  tools: JavaTools,
  topic: string,
  records: readonly ConsoleRecord[],
): Promise<void> {
  const timestamps = records.map(({ timestamp }) => timestamp).toSorted((a, b) => a - b);
  const middle = timestamps[Math.floor(timestamps.length / 2)] ?? 0;
  const newest = timestamps.at(-1) ?? 0;
  const partitions = Array.from({ length: partitionsPerTopic }, (_, partition) =>
    records.filter((record) => record.partition === partition),
  );
  const expected: readonly [time: string, offsetOf: (of: ConsoleRecord[]) => number | undefined][] =
    [
      ['-1', (of) => of.length],
      ['-2', () => 0],
      ['-3', firstOf(maxTimestamp)],
      [String(middle), (of) => of.find(({ timestamp }) => timestamp >= middle)?.offset],
      [String(newest + 1), () => undefined],
    ];
  for (const [time, offsetOf] of expected) {
    const said = await tools.run('GetOffsetShell', ['--topic', topic, '--time', time]);
    const wanted = partitions.flatMap((of, partition) => {
      const offset = offsetOf(of);
      return offset === undefined ? [] : [`${topic}:${partition}:${offset}`];
    });
    if (said.trim() !== wanted.join('\n')) {
      throw new CheckFailedError(`--time ${time}: wanted\n${wanted.join('\n')}\ngot\n${said}`);
    }
  }
}

function maxTimestamp(records: readonly ConsoleRecord[]): number {
  return Math.max(...records.map(({ timestamp }) => timestamp));
}

/** The first record of the timestamp that `timestampOf` picks; undefined in an empty partition. */
function firstOf(timestampOf: (records: readonly ConsoleRecord[]) => number) {
  return (records: readonly ConsoleRecord[]): number | undefined => {
    const timestamp = timestampOf(records);
    return records.find((record) => record.timestamp === timestamp)?.offset;
  };
}
