import { destination, pino, stdTimeFunctions } from 'pino';
import type { Logger } from 'pino';
import { prettyFactory } from 'pino-pretty';

export type { Logger };

export interface LoggerOptions {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  /** `auto`: pretty when standard output is a terminal. */
  readonly format: 'auto' | 'json' | 'pretty';
  /** In every line, for example `{ role: 'front' }`. */
  readonly fields?: Readonly<Record<string, unknown>>;
  /** For tests. Default: standard output, written at once so that no line is lost at exit. */
  readonly write?: (line: string) => void;
}

/** What a log line must never show, at any depth that our own code nests it. */
const secretPaths = ['secret', 'password', 'clusterSecret', 'metadataUrl', 'databaseUrl'];

/** Structured logs: one JSON object per line, or text for a person at a terminal. */
export function createLogger(options: LoggerOptions): Logger {
  const pretty = options.format === 'pretty' || (options.format === 'auto' && process.stdout.isTTY);
  return pino(
    {
      level: options.level,
      base: { ...options.fields },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretPaths.flatMap((name) => [name, `*.${name}`]), censor: '********' },
    },
    pretty ? prettyStream(options) : jsonStream(options),
  );
}

function jsonStream(options: LoggerOptions): { write(line: string): void } {
  const { write } = options;
  return write ? { write } : destination({ fd: 1, sync: true });
}

/** In this thread, line by line: a worker would lose the last lines of a process that dies. */
function prettyStream(options: LoggerOptions): { write(line: string): void } {
  const format = prettyFactory({
    colorize: options.write === undefined && process.stdout.isTTY,
    translateTime: 'SYS:HH:MM:ss.l',
  });
  const write = options.write ?? ((text: string) => void process.stdout.write(text));
  return { write: (line) => write(format(line)) };
}
