import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from '../clients/run-program.js';
import { freePorts } from '../clients/server-process.js';
import type { BenchServer, BenchServerOptions } from './bench-server.js';
import { kafkaClassPath, kafkaJvmOptions, kafkaVersion } from './kafka-jars.js';
import { StartedProgram } from './started-program.js';

const heap = ['-Xms1g', '-Xmx1g'];
const clusterId = 'MkU3OEVBNTcwNTJENDM2Qg';

/** A single node (KRaft: broker and controller in one process) with its defaults. */
export async function startApacheKafka(options: BenchServerOptions): Promise<BenchServer> {
  const [port = 0, controllerPort = 0] = await freePorts(2);
  const dataDir = await mkdtemp(join(options.dataRoot, 'apache-kafka-'));
  const properties = join(dataDir, 'server.properties');
  await writeFile(properties, serverProperties({ port, controllerPort, dataDir }));
  const quiet = '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn';
  const sayStarted = '-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info';
  const classPath = ['-cp', await kafkaClassPath()];
  await runProgram({
    label: 'kafka-storage format',
    command: 'java',
    arguments: [
      ['-Xmx256m', quiet, ...classPath, 'kafka.tools.StorageTool'],
      ['format', '--standalone', '-t', clusterId, '-c', properties],
    ].flat(),
  });
  const program = await StartedProgram.start({
    command: 'java',
    arguments: [
      [...heap, ...kafkaJvmOptions, quiet, sayStarted, ...classPath],
      ['kafka.Kafka', properties],
    ].flat(),
    environment: process.env,
    isReady: (log) => Promise.resolve(log.includes('Kafka Server started')),
  });
  return {
    name: 'Kafka',
    description: `Apache Kafka ${kafkaVersion}, one KRaft node, defaults, ${heap.join(' ')}, G1`,
    address: { host: '127.0.0.1', port },
    rootPids: [program.pid],
    dispose: async () => {
      await program.stop();
      await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

interface ServerProperties {
  readonly port: number;
  readonly controllerPort: number;
  readonly dataDir: string;
}

/** Replication factors of 1, since there is one node, and no wait for a second group member. */
function serverProperties({ port, controllerPort, dataDir }: ServerProperties): string {
  const broker = `PLAINTEXT://127.0.0.1:${port}`;
  const controller = `CONTROLLER://127.0.0.1:${controllerPort}`;
  return `process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:${controllerPort}
listeners=${broker},${controller}
advertised.listeners=${broker},${controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=${join(dataDir, 'log')}
num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
`;
}
