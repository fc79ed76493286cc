/**
 * The effective configuration: every option has a value. Bytes and milliseconds are in the names;
 * paths are absolute. An option that may be left out is `undefined` then.
 */
export interface Config {
  readonly configFile: string | undefined;

  readonly kafkaHost: string;
  readonly kafkaPort: number;
  readonly advertisedHost: string;
  /** 0: the port that the Kafka listener got. */
  readonly advertisedPort: number;
  readonly httpHost: string;
  readonly httpPort: number;

  readonly dataDir: string;
  readonly storeUrl: string;
  readonly s3Endpoint: string | undefined;
  readonly s3Region: string | undefined;
  readonly s3PathStyle: boolean;
  /** Undefined: an embedded PostgreSQL under the data dir. */
  readonly metadataUrl: string | undefined;

  readonly coordinatorUrl: string | undefined;
  readonly clusterSecret: string | undefined;
  readonly zone: string;
  readonly internalHost: string;
  readonly internalPort: number;
  readonly internalAdvertisedHost: string;

  readonly requestBytesInFlightMax: number;
  readonly blockCacheBytes: number;
  readonly segmentBytes: number;
  readonly flushIntervalMs: number;
  readonly flushInFlightMax: number;

  readonly compactionGraceMs: number;
  readonly indexIntervalMs: number;
  readonly autoCreateTopics: boolean;
  readonly numPartitions: number;
  readonly groupInitialRebalanceDelayMs: number;

  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;

  readonly bootstrapServer: string;
}

export type ConfigKey = keyof Config;

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** `auto`: pretty on a terminal, JSON anywhere else. */
export const logFormats = ['auto', 'json', 'pretty'] as const;
export type LogFormat = (typeof logFormats)[number];

/** The commands that read the configuration. */
export const configCommands = [
  'standalone',
  'front',
  'ingest',
  'fetch',
  'coordinator',
  'topic',
  'segment',
  'recover',
  'fsck',
  'explain',
  'config',
] as const;
export type ConfigCommand = (typeof configCommands)[number];
