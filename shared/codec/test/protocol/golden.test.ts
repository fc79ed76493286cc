import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { AnyMessage, Field, Fields } from '../../src/index.js';
import { apiByKey, apis, encodeRequestHeader, encodeResponseHeader } from '../../src/index.js';
import { parseRequestHeader, parseResponseHeader } from '../../src/index.js';
import { encoded } from './support/messages.js';

/** Bytes from Apache Kafka itself: `test/golden/capture/capture.sh` makes them. */
const golden = new URL('../golden/', import.meta.url);

function readLines(path: string): unknown[] {
  const text = readFileSync(new URL(path, golden), 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line));
}

interface GoldenMessage {
  readonly message: string;
  readonly version: number;
  readonly sample: string;
  readonly hex: string;
  readonly json: Readonly<Record<string, unknown>>;
}

const goldenMessages = readdirSync(new URL('messages/', golden))
  .filter((name) => name.endsWith('.jsonl'))
  .flatMap((name) => readLines(`messages/${name}`) as GoldenMessage[]);

const declaredMessages: readonly AnyMessage[] = Object.values(apis).flatMap(
  ({ request, response }): AnyMessage[] => [request, response],
);

/** Our value in the form of Kafka's JSON converters. */
function toKafkaJson(value: unknown, { shape }: Field<unknown, unknown>): unknown {
  if (value === null) return null;
  if (typeof value === 'bigint') return `${value}n`;
  if (Buffer.isBuffer(value)) return value.toString('base64');
  if (shape.kind === 'uuid') {
    return Buffer.from((value as string).replaceAll('-', ''), 'hex').toString('base64url');
  }
  if (shape.kind === 'array') {
    return (value as unknown[]).map((each) => toKafkaJson(each, shape.element));
  }
  return shape.kind === 'struct' ? structToKafkaJson(value, shape.fields) : value;
}

function structToKafkaJson(value: unknown, fields: Fields): Record<string, unknown> {
  const source = value as Readonly<Record<string, unknown>>;
  const names = Object.entries(fields);
  return Object.fromEntries(names.map(([name, field]) => [name, toKafkaJson(source[name], field)]));
}

/** Kafka's JSON lacks fields that the version lacks: then we must have the default. */
function withDefaults(json: unknown, fields: Fields): Record<string, unknown> {
  const source = json as Readonly<Record<string, unknown>>;
  const complete = Object.entries(fields).map(([name, field]): [string, unknown] => {
    const { shape, defaultValue } = field;
    const given = source[name];
    if (given === undefined) return [name, toKafkaJson(defaultValue, field)];
    if (given !== null && shape.kind === 'struct') return [name, withDefaults(given, shape.fields)];
    if (given !== null && shape.kind === 'array' && shape.element.shape.kind === 'struct') {
      const inner = shape.element.shape.fields;
      return [name, (given as unknown[]).map((each) => withDefaults(each, inner))];
    }
    return [name, given];
  });
  return Object.fromEntries(complete);
}

describe("what Kafka's own classes serialize", () => {
  it.each(declaredMessages.map((declared) => ({ name: declared.name, declared })))(
    '$name',
    ({ name, declared }) => {
      const samples = goldenMessages.filter(
        ({ message, version }) => message === name && version <= declared.maxVersion,
      );
      // Kafka 4 has no classes for Produce 0 to 2: see traps.test.ts.
      const first = name.startsWith('Produce') ? 3 : declared.minVersion;
      const versions = new Set(samples.map(({ version }) => version));
      expect(Math.min(...versions)).toBe(first);
      expect(samples).toHaveLength((declared.maxVersion - first + 1) * 2);
      expect(versions.size * 2).toBe(samples.length);
      for (const { version, sample, hex, json } of samples) {
        const bytes = Buffer.from(hex, 'hex');
        const decoded = declared.decode(bytes, version);
        const title = `${name} v${version} ${sample}`;
        expect(structToKafkaJson(decoded, declared.fields), title).toEqual(
          withDefaults(json, declared.fields),
        );
        expect(encoded(declared, decoded, version).toString('hex'), title).toBe(hex);
      }
    },
  );
});

interface Exchange {
  readonly request: string;
  readonly response: string;
}

const exchanges = (readLines('traffic.jsonl') as Exchange[]).map(({ request, response }) => {
  const frame = Buffer.from(request, 'hex');
  const key = frame.readInt16BE(0);
  const version = frame.readInt16BE(2);
  const title = `${apiByKey(key)?.name ?? `API ${key}`} v${version}`;
  return { title, key, version, frame, answer: Buffer.from(response, 'hex') };
});
/** Neither a Kafka 4 consumer of the classic protocol sends these, nor the tools that were recorded. */
const unrecorded = new Set(['OffsetForLeaderEpoch', 'DeleteRecords', 'AlterConfigs']);
const declaredExchanges = exchanges.filter(({ key }) => apiByKey(key) !== undefined);

describe("what Kafka's tools and a broker said to each other", () => {
  it('covers what clients need, at the versions that we offer', () => {
    const seen = new Set(declaredExchanges.map(({ title }) => title));
    for (const { name, maxVersion, advertised } of Object.values(apis)) {
      if (advertised && !unrecorded.has(name)) expect(seen).toContain(`${name} v${maxVersion}`);
    }
  });

  it.each(declaredExchanges)('$title', ({ key, version, frame, answer }) => {
    const api = apiByKey(key);
    expect.assert(api);
    const header = parseRequestHeader(frame);
    const request = api.request.decode(frame.subarray(header.bodyOffset), version);
    const again = Buffer.concat([
      ...encodeRequestHeader(header),
      ...api.request.encode(request, version),
    ]);
    expect(again.toString('hex')).toBe(frame.toString('hex'));

    const { correlationId, bodyOffset } = parseResponseHeader(answer, key, version);
    expect(correlationId).toBe(header.correlationId);
    const response = api.response.decode(answer.subarray(bodyOffset), version);
    const answerAgain = Buffer.concat([
      encodeResponseHeader(key, version, correlationId),
      ...api.response.encode(response, version),
    ]);
    expect(answerAgain.toString('hex')).toBe(answer.toString('hex'));
  });
});
