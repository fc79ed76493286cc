export type { CommandContext, CommandRun, ServiceName, ServiceRuns, TextSink } from './command.js';
export { objectStoreOptions } from './object-store-options.js';
export { exitCodes, runCli } from './run-cli.js';
export type { CliInput } from './run-cli.js';
export { softwareVersion } from './version-command.js';
