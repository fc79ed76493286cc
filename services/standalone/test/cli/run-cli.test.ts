import { OperatingError } from '@kafscale/core';
import { describe, expect, test } from 'vitest';
import { kafscale } from './collect.js';

const commands = [
  'standalone',
  'front',
  'ingest',
  'fetch',
  'coordinator',
  'topic create',
  'topic list',
  'topic describe',
  'topic delete',
  'segment dump',
  'config',
  'version',
];

describe('help', () => {
  test.each(['--help', '-h', 'help'])('%s lists every command', async (argument) => {
    const { exitCode, stdout, stderr } = await kafscale([argument]);
    expect([exitCode, stderr]).toEqual([0, '']);
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
  });

  test.each(commands)('%s --help', async (command) => {
    const { exitCode, stdout, stderr } = await kafscale([...command.split(' '), '--help']);
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(stdout).toContain(`Usage: kafscale ${command}`);
    expect(await kafscale(['help', ...command.split(' ')])).toEqual({ exitCode, stdout, stderr });
  });

  test('names only the options that a command uses', async () => {
    const { stdout } = await kafscale(['front', '--help']);
    expect(stdout).toContain('--kafka-port PORT');
    expect(stdout).toContain('[KAFSCALE_KAFKA_PORT] (default: 9092)');
    expect(stdout).not.toContain('--metadata-url');
  });

  test('comes before any check of the other arguments', async () => {
    expect((await kafscale(['front', '--no-such-flag', '--help'])).exitCode).toBe(0);
    expect((await kafscale(['topic', '--help'])).stdout).toContain('topic describe');
  });
});

describe('mistakes: one line that names them, exit code 2', () => {
  test.each<[string[], RegExp]>([
    [[], /which command/],
    [['standalon'], /unknown command standalon \(did you mean standalone\?\)/],
    [['topic'], /which of create, list, describe, delete/],
    [['topic', 'creat', 'x'], /unknown command topic creat \(did you mean topic create\?\)/],
    [['front', '--kafka-prot', '1'], /--kafka-prot.*--kafka-port.*kafscale front --help/],
    [['front', '--kafka-port', 'x'], /--kafka-port.*whole number/],
    [['front', 'extra'], /unexpected argument "extra"/],
    [['topic', 'create'], /topic create needs NAME/],
    [['topic', 'create', 'a', '--partitions', '0'], /--partitions.*"0"/],
    [['topic', 'create', 'a', 'b'], /CONFIG=VALUE, not "b"/],
    [['segment', 'dump', 'no-such-thing'], /no-such-thing.*no file.*no key/],
    [['version', '--no-such-flag'], /--no-such-flag/],
  ])('%j', async (argv, expected) => {
    const { exitCode, stdout, stderr } = await kafscale(argv);
    expect([exitCode, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(expected);
    expect(stderr.match(/\n/g)).toHaveLength(1);
  });

  test('in the environment too', async () => {
    const { exitCode, stderr } = await kafscale(['config'], { env: { KAFSCALE_PROT: '1' } });
    expect(exitCode).toBe(2);
    expect(stderr).toContain('KAFSCALE_PROT');
  });
});

describe('a service', () => {
  test('gets its configuration, and its exit code is ours', async () => {
    const { exitCode } = await kafscale(['front', '--kafka-port', '7'], {
      env: { KAFSCALE_ZONE: 'a' },
      service: ({ loaded }) => {
        expect(loaded.config).toMatchObject({ kafkaPort: 7, zone: 'a' });
        return Promise.resolve(3);
      },
    });
    expect(exitCode).toBe(3);
  });

  test('that can not start is one line and exit code 1', async () => {
    const { exitCode, stderr } = await kafscale(['standalone'], {
      service: () =>
        Promise.reject(new OperatingError('PORT_IN_USE', '127.0.0.1:9092 is already in use')),
    });
    expect(exitCode).toBe(1);
    expect(stderr).toBe('kafscale: 127.0.0.1:9092 is already in use [PORT_IN_USE]\n');
  });

  test('with a bug is not hushed up', async () => {
    const bug = new TypeError('undefined is not a function');
    const attempt = kafscale(['standalone'], { service: () => Promise.reject(bug) });
    await expect(attempt).rejects.toBe(bug);
  });
});

describe('config', () => {
  const env = { KAFSCALE_HTTP_PORT: '8081', KAFSCALE_CLUSTER_SECRET: 'a secret of some length' };

  test('prints every value and where it came from', async () => {
    const { stdout } = await kafscale(['config', '--kafka-port', '7'], { env });
    expect(stdout).toMatch(/^kafkaPort +7 +flag --kafka-port$/m);
    expect(stdout).toMatch(/^httpPort +8081 +environment KAFSCALE_HTTP_PORT$/m);
    expect(stdout).toMatch(/^kafkaHost +127\.0\.0\.1 +default$/m);
    expect(stdout).not.toContain('a secret');
  });

  test('as JSON for programs', async () => {
    const { stdout } = await kafscale(['config', '--json'], { env });
    expect(JSON.parse(stdout)).toContainEqual({
      key: 'httpPort',
      value: 8081,
      source: { kind: 'environment', name: 'KAFSCALE_HTTP_PORT' },
    });
    expect(stdout).not.toContain('a secret');
  });
});

test('version works whatever the environment says', async () => {
  const { exitCode, stdout } = await kafscale(['version'], { env: { KAFSCALE_X: '1' } });
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^kafscale \d+\.\d+\.\d+ /);
  expect((await kafscale(['--version'])).stdout).toBe(stdout);
});
