import * as fc from 'fast-check';
import type { AnyMessage, Field, Fields } from '../../../src/index.js';

type AnyField = Field<unknown, unknown>;
export type Struct = Record<string, unknown>;

const within = ({ min, max }: AnyField['versions'], version: number): boolean =>
  version >= min && version <= max;

/** Whole values of a message at a version: what decoding must yield, defaults included. */
export function messageValue(declared: AnyMessage, version: number): fc.Arbitrary<Struct> {
  return structValue(declared.fields, version);
}

function structValue(fields: Fields, version: number): fc.Arbitrary<Struct> {
  const model = Object.entries(fields).map(([name, field]): [string, fc.Arbitrary<unknown>] => [
    name,
    within(field.versions, version) ? fieldValue(field, version) : fc.constant(field.defaultValue),
  ]);
  return fc.record(Object.fromEntries(model), { noNullPrototype: true });
}

function fieldValue(field: AnyField, version: number): fc.Arbitrary<unknown> {
  const value = shapeValue(field, version);
  const choices = [{ weight: 6, arbitrary: value }];
  if (within(field.nullable, version)) choices.push({ weight: 1, arbitrary: fc.constant(null) });
  if (field.defaultValue !== null || within(field.nullable, version)) {
    choices.push({ weight: 1, arbitrary: fc.constant(field.defaultValue) });
  }
  return fc.oneof(...choices);
}

function shapeValue({ shape }: AnyField, version: number): fc.Arbitrary<unknown> {
  switch (shape.kind) {
    case 'bool':
      return fc.boolean();
    case 'int8':
      return fc.integer({ min: -128, max: 127 });
    case 'int16':
      return fc.integer({ min: -32768, max: 32767 });
    case 'uint16':
      return fc.integer({ min: 0, max: 65535 });
    case 'int32':
      return fc.integer();
    case 'int64':
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    case 'safeInt64':
      return fc.maxSafeInteger();
    case 'float64':
      return fc.double({ noNaN: true });
    case 'uuid':
      return fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) =>
        Buffer.from(bytes)
          .toString('hex')
          .replace(/^(.{8})(.{4})(.{4})(.{4})/u, '$1-$2-$3-$4-'),
      );
    case 'string':
      // 127 and 128 bytes are the border between one and two bytes of compact length.
      return fc.oneof(
        fc.string({ unit: 'binary', maxLength: 12 }),
        fc.integer({ min: 120, max: 135 }).map((length) => 'x'.repeat(length)),
      );
    case 'bytes':
      return fc.oneof(
        fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
        fc.integer({ min: 1000, max: 1100 }).map((length) => Buffer.alloc(length, 7)),
      );
    case 'array':
      return fc.array(fieldValue(shape.element, version), { maxLength: 3 });
    case 'struct':
      return structValue(shape.fields, version);
    default:
      return shape satisfies never;
  }
}

/** The same value as a caller may hand it over: bytes in pieces. */
export function inPieces(value: unknown): unknown {
  if (Buffer.isBuffer(value)) {
    const middle = Math.floor(value.length / 3);
    return [value.subarray(0, middle), value.subarray(middle)];
  }
  if (Array.isArray(value)) return value.map(inPieces);
  return isStruct(value) ? mapValues(value, inPieces) : value;
}

/** The same value with every field left out that has its default. */
export function withoutDefaults(value: unknown, fields: Fields): unknown {
  if (!isStruct(value)) return value;
  const kept: Struct = {};
  for (const [name, field] of Object.entries(fields)) {
    const given = value[name];
    if (equalsDefault(given, field.defaultValue)) continue;
    const { shape } = field;
    if (shape.kind === 'struct') kept[name] = withoutDefaults(given, shape.fields);
    else if (
      shape.kind === 'array' &&
      Array.isArray(given) &&
      shape.element.shape.kind === 'struct'
    ) {
      const inner = shape.element.shape.fields;
      kept[name] = given.map((each) => withoutDefaults(each, inner));
    } else kept[name] = given;
  }
  return kept;
}

function equalsDefault(value: unknown, defaultValue: unknown): boolean {
  if (Array.isArray(defaultValue)) return Array.isArray(value) && value.length === 0;
  if (Buffer.isBuffer(defaultValue)) return Buffer.isBuffer(value) && value.length === 0;
  return Object.is(value, defaultValue); // −0 is not 0, and its bytes are others
}

function isStruct(value: unknown): value is Struct {
  return typeof value === 'object' && value !== null && !Buffer.isBuffer(value);
}

function mapValues(value: Struct, map: (each: unknown) => unknown): Struct {
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, map(each)]));
}
