import type { Command, CommandContext } from './command.js';
import { createTopic, deleteTopics, describeTopic, listTopics } from './topic-admin.js';
import type { TopicDescription } from './topic-admin.js';
import { KafkaClient } from './kafka-client.js';
import { usageError } from './usage-error.js';
import { formatTable } from './table.js';

const timeoutFlag = {
  name: 'timeout-ms',
  kind: 'value',
  placeholder: 'MS',
  description: 'how long to wait for an answer (default: 30000)',
} as const;
const jsonFlag = { name: 'json', kind: 'switch', description: 'print JSON' } as const;

export const topicCommands: readonly Command[] = [
  {
    name: 'topic create',
    summary: 'create a topic',
    usage: 'NAME [CONFIG=VALUE…]',
    positionals: { min: 1, max: 100 },
    configCommand: 'topic',
    flags: [
      {
        name: 'partitions',
        kind: 'value',
        placeholder: 'COUNT',
        description: "how many partitions (default: the server's)",
      },
      {
        name: 'if-not-exists',
        kind: 'switch',
        description: 'a topic of that name that is there already is fine',
      },
      timeoutFlag,
    ],
    run: runCreate,
  },
  {
    name: 'topic list',
    summary: 'list the topics',
    usage: '',
    positionals: { min: 0, max: 0 },
    configCommand: 'topic',
    flags: [jsonFlag, timeoutFlag],
    run: runList,
  },
  {
    name: 'topic describe',
    summary: "print a topic's id, partitions and configs",
    usage: 'NAME',
    positionals: { min: 1, max: 1 },
    configCommand: 'topic',
    flags: [jsonFlag, timeoutFlag],
    run: runDescribe,
  },
  {
    name: 'topic delete',
    summary: 'delete topics, with all their records',
    usage: 'NAME…',
    positionals: { min: 1, max: 1000 },
    configCommand: 'topic',
    flags: [timeoutFlag],
    run: runDelete,
  },
];

async function runCreate(context: CommandContext): Promise<void> {
  const [name = '', ...pairs] = context.positionals;
  const configs = pairs.map(parsePair);
  const partitions = context.flags.has('partitions')
    ? readCount(context, 'partitions', { fallback: 0, max: 2 ** 31 - 1 })
    : undefined;
  await withClient(context, async (client, timeoutMs) => {
    const created = await createTopic(client, {
      name,
      partitions,
      configs,
      timeoutMs,
      ifNotExists: context.flags.get('if-not-exists') === 'true',
    });
    context.stdout.write(created ? `created ${name}\n` : `${name} exists already\n`);
  });
}

async function runList(context: CommandContext): Promise<void> {
  await withClient(context, async (client) => {
    const topics = await listTopics(client);
    if (context.flags.get('json') === 'true') {
      context.stdout.write(`${JSON.stringify(topics, null, 2)}\n`);
      return;
    }
    const rows = topics.map((topic) => [topic.name, String(topic.partitionCount), topic.topicId]);
    context.stdout.write(formatTable(['NAME', 'PARTITIONS', 'ID'], rows));
  });
}

async function runDescribe(context: CommandContext): Promise<void> {
  const [name = ''] = context.positionals;
  await withClient(context, async (client) => {
    const topic = await describeTopic(client, name);
    const json = context.flags.get('json') === 'true';
    context.stdout.write(json ? `${JSON.stringify(topic, null, 2)}\n` : formatTopic(topic));
  });
}

async function runDelete(context: CommandContext): Promise<void> {
  await withClient(context, async (client, timeoutMs) => {
    await deleteTopics(client, context.positionals, timeoutMs);
    for (const name of context.positionals) context.stdout.write(`deleted ${name}\n`);
  });
}

async function withClient(
  context: CommandContext,
  work: (client: KafkaClient, timeoutMs: number) => Promise<void>,
): Promise<void> {
  const timeoutMs = readCount(context, 'timeout-ms', { fallback: 30_000, max: 600_000 });
  const client = await KafkaClient.connect({
    address: context.loaded.config.bootstrapServer,
    clientId: 'kafscale-cli',
    timeoutMs,
  });
  try {
    await work(client, timeoutMs);
  } finally {
    client.close();
  }
}

function readCount(
  context: CommandContext,
  name: string,
  bounds: { readonly fallback: number; readonly max: number },
): number {
  const text = context.flags.get(name);
  if (text === undefined) return bounds.fallback;
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > bounds.max) {
    throw usageError(`--${name}: expected a whole number from 1 to ${bounds.max}, not "${text}"`);
  }
  return value;
}

function parsePair(text: string): { readonly name: string; readonly value: string } {
  const at = text.indexOf('=');
  if (at < 1) throw usageError(`expected CONFIG=VALUE, not ${JSON.stringify(text)}`);
  return { name: text.slice(0, at), value: text.slice(at + 1) };
}

function formatTopic(topic: TopicDescription): string {
  const partitions = topic.partitions.map((partition) => [
    String(partition.partition),
    partition.leader === null
      ? '-'
      : `${partition.leader.nodeId} (${partition.leader.host}:${partition.leader.port})`,
    String(partition.leaderEpoch),
  ]);
  const configs = topic.configs.map(({ name, value, isDefault }) => [
    name,
    value ?? '-',
    isDefault ? 'default' : 'set',
  ]);
  return [
    `topic ${topic.name}  id ${topic.topicId}  partitions ${topic.partitions.length}\n`,
    formatTable(['PARTITION', 'LEADER', 'EPOCH'], partitions),
    formatTable(['CONFIG', 'VALUE', 'FROM'], configs),
  ].join('\n');
}
