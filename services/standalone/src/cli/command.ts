import type { ConfigCommand, FlagDefinition, LoadedConfig } from '@kafscale/config';

/** Where a command writes: a stream of the process, or a collector in a test. */
export interface TextSink {
  write(text: string): unknown;
}

export interface CommandContext {
  readonly loaded: LoadedConfig;
  readonly positionals: readonly string[];
  /** The command's own flags that were given, by name without dashes. */
  readonly flags: ReadonlyMap<string, string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: TextSink;
  readonly stderr: TextSink;
}

/**
 * Does the command's work and resolves with the exit code; nothing means 0. An OperatingError
 * becomes one line and exit code 1; anything else is a bug and passes through.
 */
export type CommandRun = (context: CommandContext) => Promise<number | void>;

export interface CommandFlag extends FlagDefinition {
  readonly placeholder?: string;
  readonly description: string;
}

export interface Command {
  /** One word, or two: `topic create`. */
  readonly name: string;
  readonly summary: string;
  /** What follows the name, for the help text: `NAME [KEY=VALUE…]`. */
  readonly usage: string;
  readonly positionals: { readonly min: number; readonly max: number };
  /** Whose options of the configuration it takes; none when undefined. */
  readonly configCommand: ConfigCommand | undefined;
  readonly flags: readonly CommandFlag[];
  readonly run: CommandRun;
}

/** The commands that run services; the process's entry point supplies what they do. */
export const serviceNames = ['standalone', 'front', 'ingest', 'fetch', 'coordinator'] as const;
export type ServiceName = (typeof serviceNames)[number];
export type ServiceRuns = { readonly [Name in ServiceName]: CommandRun };
