import { describe, expect, test } from 'vitest';
import { checkInternalListener, isLoopback, isWildcard, loadConfig } from '../src/index.js';
import type { Config } from '../src/index.js';

test.each([
  '127.0.0.1',
  '127.8.9.10',
  'localhost',
  'LOCALHOST',
  '::1',
  '0:0:0:0:0:0:0:1',
  '::ffff:127.0.0.1',
])('%s is loopback', (host) => expect(isLoopback(host)).toBe(true));

test.each([
  '0.0.0.0',
  '::',
  '10.0.0.1',
  '128.0.0.1',
  'localhost.example',
  '127.0.0.1.example',
  '::2',
  '1::1',
  '::ffff:10.0.0.1',
])('%s is not loopback', (host) => expect(isLoopback(host)).toBe(false));

test.each([
  ['0.0.0.0', true],
  ['::', true],
  ['0:0:0:0:0:0:0:0', true],
  ['::1', false],
  ['127.0.0.1', false],
  ['example', false],
])('wildcard: %s %s', (host, expected) => expect(isWildcard(host)).toBe(expected));

describe('the internal listener of a role', () => {
  function check(argv: string[]): void {
    checkInternalListener(loadFront(argv));
  }

  function loadFront(argv: string[]): Config {
    return loadConfig({ command: 'front', argv, env: {}, cwd: '/', readFile: () => '{}' }).config;
  }

  const secret = ['--cluster-secret', 'a secret of some length'];

  test('needs no secret on loopback', () => {
    expect(() => check([])).not.toThrow();
  });

  test('needs the secret beyond loopback', () => {
    expect(() => check(['--internal-host', '10.0.0.1'])).toThrow(/KAFSCALE_CLUSTER_SECRET/);
    expect(() => check(['--internal-host', '10.0.0.1', ...secret])).not.toThrow();
  });

  test('needs a name to be reached by when it listens everywhere', () => {
    const argv = ['--internal-host', '0.0.0.0', ...secret];
    expect(() => check(argv)).toThrow(/KAFSCALE_INTERNAL_ADVERTISED_HOST/);
    expect(() => check([...argv, '--internal-advertised-host', 'node-1'])).not.toThrow();
  });
});
