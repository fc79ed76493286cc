import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { AnyMessage, Field, Fields } from '../../src/index.js';
import { apis } from '../../src/index.js';

/**
 * Compares our declarations with Kafka's own message definitions, field by field at every version.
 * The definitions are in the kafka-clients jar; `test/golden/capture/capture.sh` unpacks them.
 */
const folder = process.env['KAFSCALE_TEST_KAFKA_SCHEMAS'];

interface KafkaField {
  readonly name: string;
  readonly type: string;
  readonly versions: string;
  readonly nullableVersions?: string;
  readonly taggedVersions?: string;
  readonly tag?: number;
  readonly default?: string | number | boolean;
  readonly fields?: readonly KafkaField[];
}

interface KafkaMessage {
  readonly apiKey: number;
  readonly name: string;
  readonly validVersions: string;
  readonly flexibleVersions: string;
  readonly latestVersionUnstable?: boolean;
  readonly fields: readonly KafkaField[];
  readonly commonStructs?: readonly KafkaField[];
}

/** What both sides are turned into: the fields of one version, in wire order. */
interface FieldFacts {
  readonly name: string;
  readonly type: string;
  readonly nullable: boolean;
  readonly tag: number | null;
  readonly default: string;
  readonly fields: readonly FieldFacts[];
}

function loadKafkaMessage(name: string): KafkaMessage {
  const text = readFileSync(join(folder ?? '', `${name}.json`), 'utf8');
  const withoutComments = text
    .replaceAll(/^\s*\/\/.*$/gm, '')
    .replaceAll(/(?<=[,{[\]}"])\s+\/\/.*$/gm, '');
  return JSON.parse(withoutComments) as KafkaMessage;
}

function parseRange(range: string | undefined): [number, number] {
  if (range === undefined || range === 'none') return [0, -1];
  const [min, max] = range.replace('+', '-32767').split('-').map(Number);
  return [min ?? 0, max ?? min ?? 0];
}

function inRange(range: string | undefined, version: number): boolean {
  const [min, max] = parseRange(range);
  return version >= min && version <= max;
}

const zeroDefaults: Readonly<Record<string, string>> = {
  bool: 'false',
  string: '',
  bytes: '',
  records: '',
  uuid: '00000000-0000-0000-0000-000000000000',
};

function kafkaFacts(
  fields: readonly KafkaField[],
  version: number,
  common: ReadonlyMap<string, readonly KafkaField[]>,
): FieldFacts[] {
  return fields
    .filter(({ versions }) => inRange(versions, version))
    .map((field) => {
      const element = field.type.replace('[]', '');
      const inner = field.fields ?? common.get(element) ?? [];
      const isArray = field.type.startsWith('[]');
      const type = inner.length > 0 ? 'struct' : element.replace('records', 'bytes');
      return {
        name: field.name.charAt(0).toLowerCase() + field.name.slice(1),
        type: isArray ? `[]${type}` : type,
        nullable: inRange(field.nullableVersions, version),
        tag: inRange(field.taggedVersions, version) ? (field.tag ?? null) : null,
        default: kafkaDefault(field, isArray || type === 'struct', type),
        fields: kafkaFacts(inner, version, common),
      };
    });
}

function kafkaDefault(field: KafkaField, isComposite: boolean, type: string): string {
  const text = field.default === undefined ? undefined : String(field.default);
  if (text === 'null') return 'null';
  if (isComposite) return '';
  if (text === undefined) return zeroDefaults[type] ?? '0';
  return text.startsWith('0x') ? String(BigInt(text)) : text;
}

function ourFacts(fields: Fields, version: number): FieldFacts[] {
  return Object.entries(fields)
    .filter(([, { versions }]) => version >= versions.min && version <= versions.max)
    .map(([name, field]) => {
      const { shape, nullable, tag } = field;
      const inner = shape.kind === 'array' ? shape.element.shape : shape;
      return {
        name,
        type: shape.kind === 'array' ? `[]${inner.kind}` : inner.kind,
        nullable: version >= nullable.min && version <= nullable.max,
        tag,
        default: ourDefault(field),
        fields: inner.kind === 'struct' ? ourFacts(inner.fields, version) : [],
      };
    });
}

function ourDefault({ shape, defaultValue }: Field<unknown, unknown>): string {
  if (defaultValue === null) return 'null';
  if (shape.kind === 'array') return '';
  if (shape.kind === 'struct') return '';
  return `${defaultValue as string | number | bigint | boolean}`;
}

/** Kafka 4 dropped these from its definitions but still advertises them (KAFKA-18659). */
const droppedByKafka = new Set(['ProduceRequest', 'ProduceResponse']);

const messages: readonly AnyMessage[] = Object.values(apis).flatMap(
  ({ request, response }): AnyMessage[] => [request, response],
);

describe.skipIf(folder === undefined)(
  "Kafka's own definitions (KAFSCALE_TEST_KAFKA_SCHEMAS)",
  () => {
    it.each(messages.map((declared) => ({ name: declared.name, declared })))(
      '$name',
      ({ name, declared }) => {
        const kafka = loadKafkaMessage(name);
        const common = new Map(kafka.commonStructs?.map((each) => [each.name, each.fields ?? []]));
        const [min, last] = parseRange(kafka.validVersions);
        // Whether the last version is unstable is said in the request only: InitProducerId.
        const request = loadKafkaMessage(name.replace(/Response$/, 'Request'));
        const max = request.latestVersionUnstable === true ? last - 1 : last;
        expect(declared.apiKey).toBe(kafka.apiKey);
        expect(declared.minVersion).toBe(droppedByKafka.has(name) ? 0 : min);
        expect(declared.maxVersion).toBe(max);
        const flexible = kafka.flexibleVersions;
        expect(declared.flexibleSince).toBe(flexible === 'none' ? null : parseRange(flexible)[0]);
        for (let version = declared.minVersion; version <= max; version += 1) {
          const facts = ourFacts(declared.fields, version);
          expect(facts, `v${version}`).toEqual(kafkaFacts(kafka.fields, version, common));
        }
      },
    );
  },
);
