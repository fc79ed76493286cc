import { describe, expect, test } from 'vitest';
import { createLogger } from '../src/index.js';

function capture(): { readonly lines: string[]; readonly write: (line: string) => void } {
  const lines: string[] = [];
  return { lines, write: (line) => void lines.push(line) };
}

test('JSON: one object per line with level, time, fields and message', () => {
  const { lines, write } = capture();
  const log = createLogger({ level: 'info', format: 'json', fields: { role: 'front' }, write });
  log.info({ port: 9092 }, 'listening');
  log.debug('not this one');
  expect(lines).toHaveLength(1);
  const line: unknown = JSON.parse(lines[0] ?? '');
  expect(line).toEqual({
    level: 'info',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    role: 'front',
    port: 9092,
    msg: 'listening',
  });
});

test('auto is JSON where the output is no terminal', () => {
  const { lines, write } = capture();
  createLogger({ level: 'info', format: 'auto', write }).info('hello');
  expect(lines[0]).toMatch(/^\{/);
});

test('pretty: text for a person, written before the call returns', () => {
  const { lines, write } = capture();
  const log = createLogger({ level: 'info', format: 'pretty', write });
  log.warn({ port: 9092 }, 'listening');
  expect(lines.join('')).toMatch(/WARN.*listening[^]*port: 9092/);
});

describe.each(['json', 'pretty'] as const)('%s', (format) => {
  test('hides secrets, also one level down', () => {
    const { lines, write } = capture();
    const log = createLogger({ level: 'info', format, write });
    const config = { clusterSecret: 'hunter2', metadataUrl: 'postgres://a:hunter3@b' };
    log.info({ config, password: 'hunter4' }, 'starting');
    expect(lines.join('')).not.toContain('hunter');
  });

  test('prints an error with its code and stack', () => {
    const { lines, write } = capture();
    const error = Object.assign(new Error('broken'), { code: 'BROKEN' });
    createLogger({ level: 'info', format, write }).error({ err: error }, 'failed');
    expect(lines.join('')).toMatch(/BROKEN/);
    expect(lines.join('')).toMatch(/logger\.test/);
  });
});
