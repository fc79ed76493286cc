import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProgram } from './run-program.js';
import type { CheckedServer } from './server.js';
import { freePorts, ServerProcess } from './server-process.js';

/**
 * A single Apache Kafka node (KRaft) from the jars in `libraries`: the checks are checked against the
 * real thing.
 */
export async function startApacheKafka(
  libraries: string,
  partitions: number,
): Promise<CheckedServer> {
  const [port = 0, controllerPort = 0] = await freePorts(2);
  const dataDir = await mkdtemp(join(tmpdir(), 'kafscale-clients-apache-'));
  const properties = join(dataDir, 'server.properties');
  await writeFile(properties, serverProperties({ port, controllerPort, dataDir, partitions }));
  const java = [...quietJava, '-cp', `${libraries}/*`];
  await runProgram({
    label: 'kafka-storage format',
    command: 'java',
    arguments: [
      [...java, 'kafka.tools.StorageTool', 'format', '--standalone'],
      ['-t', 'MkU3OEVBNTcwNTJENDM2Qg', '-c', properties],
    ].flat(),
  });
  const server = new ServerProcess({
    command: 'java',
    arguments: [...java, 'kafka.Kafka', properties],
    environment: process.env,
    ready: (log) => Promise.resolve(log.includes('Kafka Server started')),
    cleanExits: [0, 143],
  });
  await server.start();
  return {
    description: 'Apache Kafka',
    bootstrap: `127.0.0.1:${port}`,
    control: server,
    hasTransactions: true,
    restartsQuietly: false,
    logTail: () => server.log,
    dispose: async () => {
      await server.shutDown();
      await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

const quietJava = [
  '-Xmx512m',
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
  '-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info',
];

interface ServerProperties {
  readonly port: number;
  readonly controllerPort: number;
  readonly dataDir: string;
  readonly partitions: number;
}

function serverProperties(options: ServerProperties): string {
  const broker = `PLAINTEXT://127.0.0.1:${options.port}`;
  const controller = `CONTROLLER://127.0.0.1:${options.controllerPort}`;
  return `process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:${options.controllerPort}
listeners=${broker},${controller}
advertised.listeners=${broker},${controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=${join(options.dataDir, 'log')}
num.partitions=${options.partitions}
offsets.topic.num.partitions=2
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
`;
}
