import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { limits } from '@kafscale/core';
import type { z } from 'zod';
import { logFormats, logLevels } from './config.js';
import type { Config, ConfigCommand, ConfigKey } from './config.js';
import { isWildcard } from './hosts.js';
import { bytes, choice, flag, host, hostAndPort, integer, port, text, url } from './values.js';

export interface OptionDefinition<Value> {
  readonly schema: z.ZodType<Value>;
  /** May read options that stand above it in the table. */
  readonly defaultValue: (config: Config) => Value;
  /** For the help text, where the default is not a plain value. */
  readonly defaultText?: string;
  /** What stands after the flag in the help text. Absent for an option that is on or off. */
  readonly placeholder?: string;
  readonly description: string;
  readonly commands: readonly ConfigCommand[];
  /** `password`: a URL whose password is hidden. */
  readonly secret?: 'whole' | 'password';
}

const roles = ['standalone', 'front', 'ingest', 'fetch', 'coordinator'] as const;
const separateRoles = ['front', 'ingest', 'fetch', 'coordinator'] as const;
const storeCommands = ['recover', 'fsck', 'explain'] as const;
const everywhere = [...roles, 'topic', 'segment', ...storeCommands, 'config'] as const;
const KiB = 1024;
const GiB = 2 ** 30;

/**
 * Every option, in the order of the help text. The flag and the variable of an option follow from
 * its key: kafkaPort is `--kafka-port` and KAFSCALE_KAFKA_PORT.
 */
export const optionDefinitions: { readonly [Key in ConfigKey]: OptionDefinition<Config[Key]> } = {
  configFile: {
    schema: text,
    defaultValue: () => undefined,
    placeholder: 'FILE',
    description: 'a JSON file with options by their names as `kafscale config` prints them',
    commands: everywhere,
  },

  kafkaHost: {
    schema: host,
    defaultValue: () => '127.0.0.1',
    placeholder: 'HOST',
    description: 'where to listen for Kafka clients',
    commands: ['standalone', 'front'],
  },
  kafkaPort: {
    schema: port,
    defaultValue: () => 9092,
    placeholder: 'PORT',
    description: 'the port for Kafka clients; 0: any free one',
    commands: ['standalone', 'front'],
  },
  advertisedHost: {
    schema: host,
    defaultValue: (config) => (isWildcard(config.kafkaHost) ? '127.0.0.1' : config.kafkaHost),
    defaultText: 'the Kafka host, or 127.0.0.1 when that is a wildcard',
    placeholder: 'HOST',
    description: 'the host that clients are told to connect to',
    commands: ['standalone', 'front'],
  },
  advertisedPort: {
    schema: port,
    defaultValue: (config) => config.kafkaPort,
    defaultText: 'the Kafka port',
    placeholder: 'PORT',
    description: 'the port that clients are told to connect to',
    commands: ['standalone', 'front'],
  },
  httpHost: {
    schema: host,
    defaultValue: () => '127.0.0.1',
    placeholder: 'HOST',
    description: 'where to listen for HTTP (metrics, health)',
    commands: roles,
  },
  httpPort: {
    schema: port,
    defaultValue: () => 8080,
    placeholder: 'PORT',
    description: 'the port for HTTP; 0: any free one',
    commands: roles,
  },

  dataDir: {
    schema: text,
    defaultValue: () => 'data',
    defaultText: './data',
    placeholder: 'DIR',
    description: 'the folder of the embedded database and of the local object store',
    commands: ['standalone', 'ingest', 'fetch', 'coordinator', 'segment', ...storeCommands],
  },
  storeUrl: {
    schema: url(['file:', 's3:']),
    defaultValue: (config) => pathToFileURL(resolve(config.dataDir, 'store')).href,
    defaultText: 'file:///… under the data dir',
    placeholder: 'URL',
    description: 'the object store: file:///DIR or s3://BUCKET/PREFIX',
    commands: ['standalone', 'ingest', 'fetch', 'coordinator', 'segment', ...storeCommands],
  },
  s3Endpoint: {
    schema: url(['http:', 'https:']),
    defaultValue: () => undefined,
    defaultText: "AWS's",
    placeholder: 'URL',
    description: 'the endpoint of an S3-compatible store',
    commands: ['standalone', 'ingest', 'fetch', 'coordinator', 'segment', ...storeCommands],
  },
  s3Region: {
    schema: text,
    defaultValue: () => undefined,
    defaultText: 'from the AWS environment',
    placeholder: 'REGION',
    description: 'the region of the bucket; credentials come from the usual AWS chain',
    commands: ['standalone', 'ingest', 'fetch', 'coordinator', 'segment', ...storeCommands],
  },
  s3PathStyle: {
    schema: flag,
    defaultValue: (config) => config.s3Endpoint !== undefined,
    defaultText: 'true with an endpoint',
    description: 'address the bucket in the path, not in the host name',
    commands: ['standalone', 'ingest', 'fetch', 'coordinator', 'segment', ...storeCommands],
  },
  metadataUrl: {
    schema: url(['postgres:', 'postgresql:']),
    defaultValue: () => undefined,
    defaultText: 'an embedded PostgreSQL under the data dir',
    placeholder: 'URL',
    description: 'the metadata store: postgres://USER:PASSWORD@HOST:PORT/DATABASE',
    commands: ['standalone', 'coordinator', ...storeCommands],
    secret: 'password',
  },

  coordinatorUrl: {
    schema: url(['ws:', 'wss:']),
    defaultValue: () => undefined,
    placeholder: 'URL',
    description: 'the internal listener of a coordinator: ws://HOST:PORT',
    commands: ['front', 'ingest', 'fetch'],
  },
  clusterSecret: {
    schema: text.min(16, { error: 'a text of 16 characters or more' }),
    defaultValue: () => undefined,
    placeholder: 'TEXT',
    description: 'what the processes of a cluster know each other by; needed beyond loopback',
    commands: roles,
    secret: 'whole',
  },
  zone: {
    schema: text,
    defaultValue: () => 'default',
    placeholder: 'NAME',
    description: 'the availability zone of this process: the same zone is preferred',
    commands: roles,
  },
  internalHost: {
    schema: host,
    defaultValue: () => '127.0.0.1',
    placeholder: 'HOST',
    description: 'where to listen for the other processes of the cluster',
    commands: separateRoles,
  },
  internalPort: {
    schema: port,
    defaultValue: () => 0,
    placeholder: 'PORT',
    description: 'the port for the other processes; 0: any free one',
    commands: separateRoles,
  },
  internalAdvertisedHost: {
    schema: host,
    defaultValue: (config) => config.internalHost,
    defaultText: 'the internal host; needed when that is a wildcard',
    placeholder: 'HOST',
    description: 'the host that the other processes are told to connect to',
    commands: separateRoles,
  },

  requestBytesInFlightMax: {
    schema: bytes({ min: limits.messageBytesMax, max: 64 * GiB }),
    defaultValue: () => limits.requestBytesInFlightMax,
    placeholder: 'SIZE',
    description: 'memory for requests that are being worked on; sockets are not read beyond it',
    commands: ['standalone', 'front', 'ingest'],
  },
  blockCacheBytes: {
    schema: bytes({ min: 8 * KiB * KiB, max: 1024 * GiB }),
    defaultValue: () => limits.blockCacheBytes,
    placeholder: 'SIZE',
    description: 'memory for blocks of segments that were read',
    commands: ['standalone', 'fetch'],
  },
  segmentBytes: {
    schema: bytes({ min: limits.segmentBytesMin, max: limits.segmentBytesMax }),
    defaultValue: () => limits.segmentBytes,
    placeholder: 'SIZE',
    description: 'a segment of this size is written at once',
    commands: ['standalone', 'ingest'],
  },
  flushIntervalMs: {
    schema: integer({ min: 0, max: limits.flushIntervalMsMax }),
    defaultValue: (config) =>
      config.storeUrl.startsWith('s3:')
        ? limits.flushIntervalMsWithS3
        : limits.flushIntervalMsWithFiles,
    defaultText: `${limits.flushIntervalMsWithS3} with S3, ${limits.flushIntervalMsWithFiles} with files`,
    placeholder: 'MS',
    description: 'a segment of this age is written; 0: as soon as something waits',
    commands: ['standalone', 'ingest'],
  },
  flushInFlightMax: {
    schema: integer({ min: 1, max: 256 }),
    defaultValue: () => limits.flushInFlightMax,
    placeholder: 'COUNT',
    description: 'segments under way at a time in a latency lane, where none waits for an interval',
    commands: ['standalone', 'ingest'],
  },

  compactionGraceMs: {
    schema: integer({ min: 0, max: 24 * 3_600_000 }),
    defaultValue: () => limits.compactionGraceMs,
    placeholder: 'MS',
    description: 'segments of this age are merged into larger ones',
    commands: ['standalone', 'coordinator'],
  },
  indexIntervalMs: {
    schema: integer({ min: 100, max: 3_600_000 }),
    defaultValue: () => limits.indexManifestIntervalMs,
    placeholder: 'MS',
    description:
      'how often the index in the bucket follows the metadata store: what a loss of that can cost',
    commands: ['standalone', 'coordinator'],
  },
  autoCreateTopics: {
    schema: flag,
    defaultValue: () => true,
    description: 'create a topic when a client asks for one that does not exist',
    commands: ['standalone', 'coordinator'],
  },
  numPartitions: {
    schema: integer({ min: 1, max: limits.topicPartitionsMax }),
    defaultValue: () => 1,
    placeholder: 'COUNT',
    description: 'partitions of a topic whose creator names no count',
    commands: ['standalone', 'coordinator'],
  },
  groupInitialRebalanceDelayMs: {
    schema: integer({ min: 0, max: 5 * 60_000 }),
    defaultValue: () => limits.groupInitialRebalanceDelayMs,
    placeholder: 'MS',
    description: 'how long a new group waits for more members before its first rebalance',
    commands: ['standalone', 'coordinator'],
  },

  logLevel: {
    schema: choice(logLevels),
    defaultValue: () => 'info',
    placeholder: 'LEVEL',
    description: `the least level that is logged: ${logLevels.join(', ')}`,
    commands: roles,
  },
  logFormat: {
    schema: choice(logFormats),
    defaultValue: () => 'auto',
    placeholder: 'FORMAT',
    description: 'json, pretty, or auto: pretty on a terminal',
    commands: roles,
  },

  bootstrapServer: {
    schema: hostAndPort,
    defaultValue: (config) => formatHostAndPort(config.advertisedHost, config.advertisedPort),
    defaultText: 'the advertised host and port',
    placeholder: 'HOST:PORT',
    description: 'the Kafka address to talk to',
    commands: ['topic'],
  },
};

export const configKeys = Object.keys(optionDefinitions) as readonly ConfigKey[];

/** `kafscale config` shows what any command would get, so it takes the options of all. */
export function takesOption(command: ConfigCommand, key: ConfigKey): boolean {
  return command === 'config' || optionDefinitions[key].commands.includes(command);
}

/** `--config` rather than `--config-file`: what everybody types. */
const shortNames: ReadonlyMap<ConfigKey, string> = new Map([['configFile', 'config']]);

/** `kafkaPort` → `kafka-port`, without the dashes in front. */
export function flagName(key: ConfigKey): string {
  const name = shortNames.get(key) ?? key;
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `kafkaPort` → `KAFSCALE_KAFKA_PORT`. */
export function variableName(key: ConfigKey): string {
  return `KAFSCALE_${flagName(key).replaceAll('-', '_').toUpperCase()}`;
}

/** Options that are on or off take no value on the command line. */
export function isSwitch(key: ConfigKey): boolean {
  return optionDefinitions[key].placeholder === undefined;
}

function formatHostAndPort(hostName: string, portNumber: number): string {
  return `${hostName.includes(':') ? `[${hostName}]` : hostName}:${portNumber}`;
}
