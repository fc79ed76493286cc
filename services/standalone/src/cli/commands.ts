import type { Command, ServiceName, ServiceRuns } from './command.js';
import { serviceNames } from './command.js';
import { configCommand } from './config-command.js';
import { explainCommand } from './explain-command.js';
import { fsckCommand } from './fsck-command.js';
import { recoverCommand } from './recover-command.js';
import { segmentDumpCommand } from './segment-dump-command.js';
import { topicCommands } from './topic-commands.js';
import { versionCommand } from './version-command.js';

const serviceSummaries: { readonly [Name in ServiceName]: string } = {
  standalone: 'run everything in one process, on embedded defaults',
  front: 'run a front: the listener for Kafka clients',
  ingest: 'run an ingest node: the write path',
  fetch: 'run a fetch node: the read path',
  coordinator: 'run a coordinator: metadata, offsets, groups',
};

/** Every command, in the order of the help text. */
export function allCommands(services: ServiceRuns): readonly Command[] {
  return [
    ...serviceNames.map((name): Command => ({
      name,
      summary: serviceSummaries[name],
      usage: '',
      positionals: { min: 0, max: 0 },
      configCommand: name,
      flags: [],
      run: services[name],
    })),
    ...topicCommands,
    segmentDumpCommand,
    explainCommand,
    fsckCommand,
    recoverCommand,
    configCommand,
    versionCommand,
  ];
}
