import { createInterface } from 'node:readline';
import { z } from 'zod';
import { ConsumerProcess } from './consumer-process.js';
import type { ConsumerSink, ConsumerStreams } from './consumer-process.js';
import { CheckFailedError } from './ledger.js';
import type {
  ClientFeatures,
  ConsumeOptions,
  CreateTopicOptions,
  KafkaClient,
  ProduceOptions,
} from './kafka-client.js';
import type { ConsumedRecord, TestRecord } from './records.js';
import { runProgram } from './run-program.js';

/**
 * A client library behind a small program in its own language, with these verbs:
 *
 *     info                                       prints {"version", "codecs", "features"?}
 *     create BOOTSTRAP TOPIC PARTITIONS
 *     produce BOOTSTRAP CODEC                    reads records, prints {"produced": COUNT}
 *     consume BOOTSTRAP GROUP TOPIC…             prints records and {"assigned": [[topic, partition]]}
 *                                                until SIGTERM, then leaves the group and exits 0
 *
 * Records are lines {"topic", "partition", "key", "value", "headers": [[name, value]]}, consumed
 * ones with "offset"; keys and values are base64 or null.
 */
export async function openProgramClient(
  name: string,
  command: readonly string[],
): Promise<KafkaClient> {
  const [program = name, ...prefix] = command;
  const run = (verb: string, parameters: readonly string[], input?: string): Promise<string> =>
    runProgram({
      label: `${name} ${verb}`,
      command: program,
      arguments: [...prefix, verb, ...parameters],
      ...(input === undefined ? {} : { input }),
    }).then(({ stdout }) => stdout.toString());

  const info = infoSchema.parse(JSON.parse(await run('info', [])));
  return {
    name,
    version: info.version,
    codecs: info.codecs,
    features: { ...programFeatures, ...info.features },
    createTopic: async ({ bootstrap, topic, partitions }: CreateTopicOptions) => {
      await run('create', [bootstrap, topic, String(partitions)]);
    },
    produce: async ({ bootstrap, codec, records }: ProduceOptions) => {
      const said = await run('produce', [bootstrap, codec], records.map(formatRecord).join(''));
      const { produced } = producedSchema.parse(JSON.parse(said));
      if (produced === records.length) return;
      throw new CheckFailedError(`${name} produced ${produced} of ${records.length} records`);
    },
    consume: ({ bootstrap, group, topics }: ConsumeOptions) =>
      new ConsumerProcess(`${name} in group ${group}`, {
        command: program,
        arguments: [...prefix, 'consume', bootstrap, group, ...topics],
        attach: readLines,
      }),
  };
}

const programFeatures: ClientFeatures = {
  nullValues: true,
  emptyRecords: true,
  headers: 'record',
  binaryHeaders: true,
  nullHeaders: true,
  repeatedHeaders: true,
  redelivers: 'never',
  endsWithServer: false,
};

const infoSchema = z.object({
  version: z.string(),
  codecs: z.array(z.string()).min(1),
  /** What the library cannot express, and what it does that others do not. */
  features: z
    .strictObject({
      nullValues: z.literal(false),
      nullHeaders: z.literal(false),
      repeatedHeaders: z.literal(false),
      redelivers: z.enum(['after-disconnect', 'at-rebalance']),
    })
    .partial()
    .default({})
    .transform((given) => given as Partial<ClientFeatures>),
});
const producedSchema = z.object({ produced: z.number() });
const bytesSchema = z
  .string()
  .nullable()
  .transform((text) => (text === null ? null : Buffer.from(text, 'base64')));
const lineSchema = z.union([
  z.object({ assigned: z.array(z.tuple([z.string(), z.number()])) }),
  z.object({
    topic: z.string(),
    partition: z.number(),
    offset: z.number(),
    key: bytesSchema,
    value: bytesSchema,
    headers: z.array(z.tuple([z.string(), bytesSchema])),
  }),
]);

function readLines({ stdout }: ConsumerStreams, sink: ConsumerSink): void {
  createInterface({ input: stdout }).on('line', (text) => {
    sink.attempt(() => takeLine(text, sink));
  });
}

function takeLine(text: string, sink: ConsumerSink): void {
  const line = lineSchema.parse(JSON.parse(text));
  if ('assigned' in line) {
    sink.assigned(line.assigned.map(([topic, partition]) => ({ topic, partition })));
    return;
  }
  const headers = line.headers.map(([name, value]) => ({ name, value }));
  sink.record({ ...line, headers } satisfies ConsumedRecord);
}

function formatRecord({ topic, partition, key, value, headers }: TestRecord): string {
  const text = (bytes: Buffer | null): string | null => bytes?.toString('base64') ?? null;
  const pairs = headers.map((header) => [header.name, text(header.value)]);
  const line = { topic, partition, key: text(key), value: text(value), headers: pairs };
  return `${JSON.stringify(line)}\n`;
}
