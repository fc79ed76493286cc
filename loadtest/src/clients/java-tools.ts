import { checkConsoleTools } from './java/console-tools.js';
import type { JavaTools } from './java/java-tool.js';
import { openJavaTools } from './java/java-tool.js';
import { checkVerifiableTools } from './java/verifiable-tools.js';
import { CheckFailedError } from './ledger.js';
import type { Report } from './report.js';
import { partitionsPerTopic } from './scenario.js';
import type { CheckedServer } from './server.js';

export interface JavaToolsOptions {
  readonly server: CheckedServer;
  readonly report: Report;
  readonly runId: string;
  /** `java` with its options and class path. */
  readonly java: readonly string[];
}

/** Kafka's own command line tools, as its distribution's scripts start them. */
export async function checkJavaTools(options: JavaToolsOptions): Promise<void> {
  const { server, report, runId } = options;
  const tools = openJavaTools(options.java, server.bootstrap);
  const topic = `java-tools-${runId}`;
  const versions = await report.step('kafka-broker-api-versions', () =>
    tools.run('BrokerApiVersionsCommand', []),
  );
  await report.step('kafka-topics --create, --list, --describe', () => createTopic(tools, topic));
  await checkVerifiableTools({ tools, report, topic, runId });
  await checkConsoleTools({ tools, report, server, runId });
  if (server.control === undefined) await removeTopicOfTest(tools);
  await report.step('ClientCompatibilityTest', () =>
    checkCompatibility(
      tools,
      `java-compatibility-${runId}`,
      /DescribeAcls\(29\): \d/.test(versions),
    ),
  );
  await report.step('kafka-topics --delete', async () => {
    await tools.run('TopicCommand', ['--delete', '--topic', topic]);
    const topics = (await tools.run('TopicCommand', ['--list'])).split('\n');
    if (topics.includes(topic)) throw new CheckFailedError(`${topic} is still listed`);
  });
}

async function createTopic(tools: JavaTools, topic: string): Promise<void> {
  const partitions = String(partitionsPerTopic);
  await tools.run('TopicCommand', ['--create', '--topic', topic, '--partitions', partitions]);
  const topics = (await tools.run('TopicCommand', ['--list'])).split('\n');
  if (!topics.includes(topic)) throw new CheckFailedError(`${topic} is not listed`);
  const said = await tools.run('TopicCommand', ['--describe', '--topic', topic]);
  const lines = said.match(/\tPartition: \d+\tLeader: \d+\t/g) ?? [];
  if (!said.includes(`PartitionCount: ${partitions}\t`) || lines.length !== partitionsPerTopic) {
    throw new CheckFailedError(`--describe said:\n${said}`);
  }
}

/**
 * Kafka's test of what a server can do for a Java client: admin calls, offsets by time, idempotent
 * producing, and records larger than the fetch limits (KIP-74).
 */
async function checkCompatibility(
  tools: JavaTools,
  topic: string,
  describesAcls: boolean,
): Promise<void> {
  const expectations = {
    'offsets-for-times-supported': true,
    'cluster-id-supported': true,
    'expect-record-too-large-exception': false,
    'create-topics-supported': true,
    'describe-acls-supported': describesAcls,
    'describe-configs-supported': true,
    'idempotent-producer-supported': true,
  };
  const said = await tools.run(
    'ClientCompatibilityTest',
    [
      ['--topic', topic, '--num-cluster-nodes', '1'],
      ...Object.entries(expectations).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ].flat(),
  );
  if (!said.includes('SUCCESS')) throw new CheckFailedError(said);
}

/** The test creates a topic of this name, which must not exist, and leaves it. */
async function removeTopicOfTest(tools: JavaTools): Promise<void> {
  await tools.run('TopicCommand', ['--delete', '--if-exists', '--topic', 'newtopic']);
}
