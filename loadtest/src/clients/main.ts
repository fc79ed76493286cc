import { parseArgs } from 'node:util';
import { startApacheKafka } from './apache-kafka-server.js';
import { startKafscale } from './kafscale-server.js';
import { checkRefusals } from './kcat-refusals.js';
import { openKcatClient } from './kcat-client.js';
import { checkLogFiles } from './log-files.js';
import { openProgramClient } from './program-client.js';
import { Report } from './report.js';
import { partitionsPerTopic, runScenario } from './scenario.js';
import { runningServer } from './server.js';
import type { CheckedServer } from './server.js';
import { checkJavaTools } from './java-tools.js';

const usage = `Checks a server with a real Kafka client.

  node loadtest/dist/clients/main.js kcat
  node loadtest/dist/clients/main.js logs                      log files, line by line, with kcat
  node loadtest/dist/clients/main.js -- program NAME COMMAND…  a program (see program-client.ts)
  node loadtest/dist/clients/main.js -- java-tools JAVA…       Kafka's own tools, by this java command

Options:
  --bootstrap HOST:PORT   check this running server (without restarts) instead of a kafscale of its own
  --apache-kafka LIB      check an Apache Kafka from the jars in LIB, to check the checks
  --records COUNT         records in the first step (10000)
  --seed NUMBER           another set of records (1)
`;

const wholeRunMsMax = 900_000;

interface Options {
  readonly bootstrap?: string;
  readonly apacheKafka?: string;
  readonly recordsMax: number;
  readonly seed: number;
  readonly positionals: readonly string[];
}

async function main(): Promise<void> {
  const options = readOptions();
  const [kind = '', name = ''] = options.positionals;
  const report = new Report(kind === 'program' ? name : kind);
  const starting = startServer(options);
  const giveUp = async (reason: string): Promise<void> => {
    console.error(`FAILED: ${reason}`);
    // One that is still starting is waited for: half a server would leave its database running.
    const server = await starting.catch(() => undefined);
    console.error(server?.logTail() ?? '');
    await server?.dispose();
    process.exit(1);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void giveUp(signal));
  }
  const server = await starting;
  const limit = setTimeout(
    () => void giveUp(`not done in ${wholeRunMsMax / 1000} s`),
    wholeRunMsMax,
  );
  try {
    await check(options, server, report);
    console.log(report.summary(server.description));
  } catch (error) {
    console.error(
      `FAILED: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
    console.error(`--- the end of the server's log\n${server.logTail()}\n---`);
    process.exitCode = 1;
  } finally {
    clearTimeout(limit);
    await server.dispose();
  }
}

async function check(options: Options, server: CheckedServer, report: Report): Promise<void> {
  const [kind = '', ...rest] = options.positionals;
  const runId = `${process.pid}-${Math.floor(performance.timeOrigin) % 1_000_000}`;
  switch (kind) {
    case 'kcat':
    case 'program': {
      const [name = '', ...command] = rest;
      const client =
        kind === 'kcat' ? await openKcatClient() : await openProgramClient(name, command);
      report.say(`${client.name} ${client.version}: ${client.codecs.join(', ')}`);
      const { recordsMax, seed } = options;
      await runScenario({ client, server, report, runId, recordsMax, seed });
      if (kind === 'kcat') await checkRefusals({ server, report, runId });
      return;
    }
    case 'java-tools':
      return checkJavaTools({ server, report, runId, java: rest });
    case 'logs':
      return checkLogFiles({
        server,
        report,
        runId,
        folder: process.env['KAFSCALE_TEST_LOGS_DIR'],
      });
    default:
      throw new Error(usage);
  }
}

async function startServer(options: Options): Promise<CheckedServer> {
  if (options.bootstrap !== undefined) return runningServer(options.bootstrap);
  if (options.apacheKafka !== undefined) {
    return startApacheKafka(options.apacheKafka, partitionsPerTopic);
  }
  return startKafscale(partitionsPerTopic);
}

function readOptions(): Options {
  // The options of a client's own command are not ours: they follow `--`.
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      bootstrap: { type: 'string' },
      'apache-kafka': { type: 'string' },
      records: { type: 'string', default: '10000' },
      seed: { type: 'string', default: '1' },
    },
  });
  if (positionals.length === 0) {
    console.error(usage);
    process.exit(2);
  }
  return {
    positionals,
    recordsMax: Number(values.records),
    seed: Number(values.seed),
    ...(values.bootstrap === undefined ? {} : { bootstrap: values.bootstrap }),
    ...(values['apache-kafka'] === undefined ? {} : { apacheKafka: values['apache-kafka'] }),
  };
}

await main();
