import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runProgram } from '../clients/run-program.js';

export const repositoryRoot = fileURLToPath(new URL('../../../', import.meta.url));

export const kafkaVersion = '4.3.0';

/** The class path of a whole Apache Kafka with its tools. Fetched with Maven the first time. */
export async function kafkaClassPath(): Promise<string> {
  const directory = join(repositoryRoot, `.cache/kafka-${kafkaVersion}/lib`);
  if (!existsSync(join(directory, `kafka_2.13-${kafkaVersion}.jar`))) {
    console.error(`fetching the jars of Apache Kafka ${kafkaVersion} into ${directory}`);
    await runProgram({
      label: 'mvn',
      command: 'mvn',
      arguments: [
        '-q',
        '-f',
        join(repositoryRoot, 'loadtest/peers/kafka/pom.xml'),
        `-Dkafka.version=${kafkaVersion}`,
        'dependency:copy-dependencies',
        `-DoutputDirectory=${directory}`,
      ],
      timeoutMs: 300_000,
    });
  }
  return join(directory, '*');
}

/** The options of Kafka's own start script (kafka-run-class.sh), for the broker and its tools. */
export const kafkaJvmOptions: readonly string[] = [
  '-server',
  '-XX:+UseG1GC',
  '-XX:MaxGCPauseMillis=20',
  '-XX:InitiatingHeapOccupancyPercent=35',
  '-XX:+ExplicitGCInvokesConcurrent',
  '-XX:MaxInlineLevel=15',
  '-Djava.awt.headless=true',
];
