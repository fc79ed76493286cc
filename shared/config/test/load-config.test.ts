import { describe, expect, test } from 'vitest';
import { describeConfig, describeOptions, loadConfig } from '../src/index.js';
import type { LoadConfigInput, LoadedConfig } from '../src/index.js';

function load(input: Partial<LoadConfigInput> & { readonly file?: string } = {}): LoadedConfig {
  return loadConfig({
    command: 'standalone',
    argv: [],
    env: {},
    cwd: '/srv/kafscale',
    readFile: (path) => {
      if (input.file === undefined || path !== '/srv/kafscale/options.json') {
        throw new Error('no such file');
      }
      return input.file;
    },
    ...input,
  });
}

function problemsOf(input: Parameters<typeof load>[0]): string[] {
  try {
    load(input);
  } catch (error) {
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
    return (error as Error).message.split('\n');
  }
  return [];
}

describe('without any option', () => {
  test('everything has the documented default', () => {
    const { config, sources } = load();
    expect(config).toMatchObject({
      kafkaHost: '127.0.0.1',
      kafkaPort: 9092,
      advertisedHost: '127.0.0.1',
      advertisedPort: 9092,
      httpHost: '127.0.0.1',
      httpPort: 8080,
      dataDir: '/srv/kafscale/data',
      storeUrl: 'file:///srv/kafscale/data/store',
      metadataUrl: undefined,
      clusterSecret: undefined,
      segmentBytes: 8 * 1024 * 1024,
      flushIntervalMs: 0,
      autoCreateTopics: true,
      numPartitions: 1,
      groupInitialRebalanceDelayMs: 3000,
      logFormat: 'auto',
    });
    for (const source of Object.values(sources)) expect(source.kind).toBe('default');
  });

  test('defaults follow the options that they depend on', () => {
    const { config } = load({
      env: {
        KAFSCALE_KAFKA_HOST: '0.0.0.0',
        KAFSCALE_KAFKA_PORT: '19092',
        KAFSCALE_STORE_URL: 's3://bucket/prefix',
        KAFSCALE_S3_ENDPOINT: 'http://127.0.0.1:7070',
      },
    });
    expect(config).toMatchObject({
      advertisedHost: '127.0.0.1',
      advertisedPort: 19_092,
      flushIntervalMs: 250,
      s3PathStyle: true,
      bootstrapServer: '127.0.0.1:19092',
    });
    expect(load({ argv: ['--kafka-host', 'kafka.example'] }).config.advertisedHost).toBe(
      'kafka.example',
    );
  });
});

describe('precedence', () => {
  const file = '{"kafkaPort": 1, "httpPort": 2, "numPartitions": 3}';
  const env = {
    KAFSCALE_CONFIG: 'options.json',
    KAFSCALE_KAFKA_PORT: '4',
    KAFSCALE_HTTP_PORT: '5',
  };

  test('is flag, environment, file, default', () => {
    const { config, sources } = load({ file, env, argv: ['--kafka-port', '6'] });
    expect(config).toMatchObject({
      kafkaPort: 6,
      httpPort: 5,
      numPartitions: 3,
      httpHost: '127.0.0.1',
    });
    expect(sources.kafkaPort).toEqual({ kind: 'flag', name: '--kafka-port' });
    expect(sources.httpPort).toEqual({ kind: 'environment', name: 'KAFSCALE_HTTP_PORT' });
    expect(sources.numPartitions).toEqual({ kind: 'file', name: '/srv/kafscale/options.json' });
    expect(sources.httpHost.kind).toBe('default');
  });

  test('a --config flag goes before KAFSCALE_CONFIG', () => {
    const { config } = load({
      file,
      env: { KAFSCALE_CONFIG: 'other.json' },
      argv: ['--config=options.json'],
    });
    expect(config.kafkaPort).toBe(1);
    expect(config.configFile).toBe('/srv/kafscale/options.json');
  });

  test('an empty variable counts as not set', () => {
    expect(load({ env: { KAFSCALE_KAFKA_PORT: '' } }).config.kafkaPort).toBe(9092);
  });
});

describe('switches', () => {
  test.each([
    [['--auto-create-topics'], true],
    [['--no-auto-create-topics'], false],
    [['--auto-create-topics=false'], false],
  ])('%j', (argv, expected) => {
    expect(load({ argv }).config.autoCreateTopics).toBe(expected);
  });
});

describe('sizes', () => {
  test.each([
    ['8388608', 8_388_608],
    ['16MiB', 16 * 1024 * 1024],
    ['1.5 MiB', 1.5 * 1024 * 1024],
    ['9MB', 9_000_000],
    ['512kib', 512 * 1024],
  ])('%s', (text, expected) => {
    expect(load({ env: { KAFSCALE_SEGMENT_BYTES: text } }).config.segmentBytes).toBe(expected);
  });

  test.each(['', '-1', '1', '1TiB', 'MiB', '1e9', '65536.5', '0x10000'])('not %j', (text) => {
    expect(problemsOf({ argv: [`--segment-bytes=${text}`] })).toHaveLength(1);
  });
});

describe('mistakes are named, with where they came from', () => {
  test.each<[string, Parameters<typeof load>[0], RegExp]>([
    ['unknown flag', { argv: ['--kafka-prot', '1'] }, /--kafka-prot.*did you mean --kafka-port/],
    [
      'unknown variable',
      { env: { KAFSCALE_KAFKA_PROT: '1' } },
      /KAFSCALE_KAFKA_PROT.*KAFSCALE_KAFKA_PORT/,
    ],
    [
      'unknown file entry',
      { file: '{"kafkaProt":1}', argv: ['--config', 'options.json'] },
      /options\.json.*"kafkaProt".*kafkaPort/,
    ],
    [
      'ill-typed flag',
      { argv: ['--kafka-port', 'x'] },
      /^--kafka-port \(flag\): expected a whole number.*"x"$/,
    ],
    ['port too large', { argv: ['--kafka-port', '65536'] }, /65535.*"65536"/],
    [
      'fraction',
      { file: '{"kafkaPort":1.5}', argv: ['--config', 'options.json'] },
      /whole number.*1\.5/,
    ],
    [
      'ill-typed variable',
      { env: { KAFSCALE_AUTO_CREATE_TOPICS: 'yes' } },
      /KAFSCALE_AUTO_CREATE_TOPICS \(environment\): expected true or false/,
    ],
    [
      'ill-typed file entry',
      { file: '{"kafkaHost":7}', argv: ['--config', 'options.json'] },
      /kafkaHost in .*options\.json: expected a host/,
    ],
    ['missing value', { argv: ['--kafka-port'] }, /--kafka-port needs a value/],
    [
      'a flag as value',
      { argv: ['--kafka-host', '--http-port', '1'] },
      /--kafka-host needs a value/,
    ],
    ['twice', { argv: ['--kafka-port', '1', '--kafka-port', '2'] }, /--kafka-port is given twice/],
    ['wrong scheme', { argv: ['--store-url', 'gs://bucket'] }, /file:\/\/ or s3:\/\//],
    ['no file', { argv: ['--config', 'none.json'] }, /--config.*none\.json/],
    ['no JSON', { file: '{', argv: ['--config', 'options.json'] }, /--config.*options\.json/],
    [
      'no object',
      { file: '[]', argv: ['--config', 'options.json'] },
      /options\.json: expected a JSON object/,
    ],
    [
      'a file that names a file',
      { file: '{"configFile":"x"}', argv: ['--config', 'options.json'] },
      /configFile/,
    ],
    [
      'an option of another command',
      { command: 'front', argv: ['--metadata-url', 'x'] },
      /--metadata-url/,
    ],
  ])('%s', (_name, input, expected) => {
    const problems = problemsOf(input);
    expect(problems[0]).toMatch(expected);
  });

  test('all of them at once, one line each', () => {
    const env = { KAFSCALE_A: '1', KAFSCALE_HTTP_PORT: 'x' };
    expect(problemsOf({ env, argv: ['--kafka-port', 'y'] })).toHaveLength(3);
  });

  test('but the variables of the tests and of other commands are let be', () => {
    const env = { KAFSCALE_TEST_S3_ENDPOINT: 'x', KAFSCALE_BOOTSTRAP_SERVER: 'h:1', OTHER: 'x' };
    expect(problemsOf({ env })).toEqual([]);
  });

  test('an object prototype name is an unknown option like any other', () => {
    const file = '{"constructor":1,"__proto__":{"kafkaPort":1}}';
    expect(problemsOf({ file, argv: ['--config', 'options.json'] })).toHaveLength(2);
  });
});

describe('secrets', () => {
  const env = {
    KAFSCALE_CLUSTER_SECRET: 'correct horse battery staple',
    KAFSCALE_METADATA_URL: 'postgres://me:hunter2@db:5432/kafscale?password=hunter3',
  };

  test('are there, and hidden when printed', () => {
    const loaded = load({ env });
    expect(loaded.config.metadataUrl).toContain('hunter2');
    const printed = JSON.stringify(describeConfig(loaded));
    expect(printed).not.toMatch(/hunter|horse/);
    expect(printed).toContain('me:********@db:5432');
  });

  test('are not repeated when they are no good', () => {
    const problems = problemsOf({
      env: { KAFSCALE_CLUSTER_SECRET: 'hunter2', KAFSCALE_METADATA_URL: 'mysql://me:hunter2@db' },
    });
    expect(problems).toHaveLength(2);
    expect(problems.join()).not.toContain('hunter2');
  });
});

describe('what a command is told', () => {
  test('positionals and flags of its own', () => {
    const loaded = load({
      command: 'topic',
      argv: ['create', 'orders', '--partitions', '6', '--', '--odd'],
      extraFlags: [{ name: 'partitions', kind: 'value' }],
    });
    expect(loaded.positionals).toEqual(['create', 'orders', '--odd']);
    expect(loaded.extras).toEqual(new Map([['partitions', '6']]));
  });

  test('the help of a command lists what it uses, with defaults', () => {
    const front = describeOptions('front');
    expect(front.map((option) => option.variable)).not.toContain('KAFSCALE_METADATA_URL');
    expect(front).toContainEqual(
      expect.objectContaining({ usage: '--kafka-port PORT', defaultText: '9092' }),
    );
  });

  test('every option is used by some command that runs', () => {
    const used = new Set<string>();
    for (const command of [
      'standalone',
      'front',
      'ingest',
      'fetch',
      'coordinator',
      'topic',
    ] as const) {
      for (const option of describeOptions(command)) used.add(option.variable);
    }
    expect(used.size).toBe(describeConfig(load()).length);
  });
});
