import { invariant } from '@kafscale/core';
import { ProtocolError } from './errors.js';
import type { Reader } from './reader.js';
import type { Field, Fields, PrimitiveKind } from './schema.js';
import { includesVersion } from './versions.js';
import type { GatherBytes } from './writer.js';
import { gatherLength, Writer } from './writer.js';

/**
 * A declaration at one version, turned into closures once. They take and return `unknown`, since
 * only the declaration knows the types; {@link message} puts the inferred types around them.
 */
export interface Codec {
  readonly read: (reader: Reader) => unknown;
  readonly write: (writer: Writer, value: unknown) => void;
  /** The fewest bytes that a value takes: bounds array counts before allocation. */
  readonly bytesMin: number;
}

interface Context {
  readonly version: number;
  readonly flexible: boolean;
  /** For messages of errors, like `FetchRequest.topics.partitions`. */
  readonly path: string;
}

interface FieldCodec extends Codec {
  readonly name: string;
  readonly defaultValue: unknown;
}

interface TaggedCodec extends FieldCodec {
  readonly tag: number;
  readonly isDefault: (value: unknown) => boolean;
}

export function compileStruct(fields: Fields, context: Context): Codec {
  const names = Object.keys(fields);
  const defaults = Object.values(fields).map((field) => field.defaultValue);
  const present = presentFields(fields, context);
  const readers = names.map((name) => present.find((codec) => codec.name === name)?.read ?? null);
  const tagged = taggedFields(fields, context);
  invariant(tagged.length === 0 || context.flexible, `${context.path} has tags but no versions`);
  const byTag = new Map(tagged.map((codec) => [codec.tag, codec]));

  const read = (reader: Reader): unknown => {
    const value: Record<string, unknown> = {};
    // Every field in declaration order, absent ones too, so that all values share one hidden class.
    for (let index = 0; index < names.length; index += 1) {
      const readField = readers[index];
      value[names[index] as string] = readField ? readField(reader) : defaults[index];
    }
    if (context.flexible) readTagged(reader, byTag, value);
    return value;
  };

  const write = (writer: Writer, value: unknown): void => {
    const source = value as Readonly<Record<string, unknown>>;
    for (const codec of present) {
      const given = source[codec.name];
      codec.write(writer, given === undefined ? codec.defaultValue : given);
    }
    if (context.flexible) writeTagged(writer, tagged, source);
  };

  const bytesMin = present.reduce((sum, codec) => sum + codec.bytesMin, context.flexible ? 1 : 0);
  return { read, write, bytesMin };
}

function presentFields(fields: Fields, context: Context): FieldCodec[] {
  return Object.entries(fields)
    .filter(([, field]) => field.tag === null && includesVersion(field.versions, context.version))
    .map(([name, field]) => compileField(name, field, context));
}

function taggedFields(fields: Fields, context: Context): TaggedCodec[] {
  const tagged: TaggedCodec[] = [];
  for (const [name, field] of Object.entries(fields)) {
    if (field.tag === null || !includesVersion(field.versions, context.version)) continue;
    const codec = compileField(name, field, context);
    tagged.push({ ...codec, tag: field.tag, isDefault: (value) => isDefault(field, value) });
  }
  return tagged.sort((left, right) => left.tag - right.tag);
}

function readTagged(
  reader: Reader,
  byTag: ReadonlyMap<number, TaggedCodec>,
  value: Record<string, unknown>,
): void {
  for (let left = reader.readTagCount(); left > 0; left -= 1) {
    const codec = byTag.get(reader.readUnsignedVarint());
    const length = reader.readUnsignedVarint();
    if (codec) value[codec.name] = reader.readWithin(length, codec.read);
    else reader.skip(length);
  }
}

function writeTagged(
  writer: Writer,
  tagged: readonly TaggedCodec[],
  source: Readonly<Record<string, unknown>>,
): void {
  let count = 0;
  for (const codec of tagged) if (isGiven(codec, source)) count += 1;
  writer.writeUnsignedVarint(count);
  if (count === 0) return;
  for (const codec of tagged) {
    if (!isGiven(codec, source)) continue;
    const body = new Writer();
    codec.write(body, source[codec.name]);
    writer.writeUnsignedVarint(codec.tag);
    writer.writeUnsignedVarint(body.byteLength);
    writer.appendAll(body.finish());
  }
}

function isGiven(codec: TaggedCodec, source: Readonly<Record<string, unknown>>): boolean {
  const value = source[codec.name];
  return value !== undefined && !codec.isDefault(value);
}

function compileField(name: string, field: Field<unknown, unknown>, context: Context): FieldCodec {
  const path = `${context.path}.${name}`;
  const nullable = includesVersion(field.nullable, context.version);
  const codec = compileShape(field, nullable, { ...context, path });
  const write = nullable ? codec.write : refuseNull(codec.write, path, context.version);
  return { ...codec, write, name, defaultValue: field.defaultValue };
}

function refuseNull(write: Codec['write'], path: string, version: number): Codec['write'] {
  return (writer, value) => {
    if (value === null) {
      throw new ProtocolError('UNENCODABLE_MESSAGE', `${path} can not be null in v${version}`);
    }
    write(writer, value);
  };
}

function compileShape(field: Field<unknown, unknown>, nullable: boolean, context: Context): Codec {
  const { shape } = field;
  if (shape.kind === 'string') return stringCodec(nullable, context);
  if (shape.kind === 'bytes') return bytesCodec(nullable, context);
  if (shape.kind === 'array') {
    return arrayCodec(compileShape(shape.element, false, context), nullable, context);
  }
  if (shape.kind === 'struct') {
    const codec = compileStruct(shape.fields, context);
    return nullable ? nullableStruct(codec) : codec;
  }
  invariant(!nullable, `${context.path}: a ${shape.kind} has no null`);
  return fixedCodecs[shape.kind];
}

const fixedCodecs: Readonly<Record<Exclude<PrimitiveKind, 'string' | 'bytes'>, Codec>> = {
  bool: {
    read: (reader) => reader.readBool(),
    write: (writer, value) => writer.writeBool(value as boolean),
    bytesMin: 1,
  },
  int8: {
    read: (reader) => reader.readInt8(),
    write: (writer, value) => writer.writeInt8(value as number),
    bytesMin: 1,
  },
  int16: {
    read: (reader) => reader.readInt16(),
    write: (writer, value) => writer.writeInt16(value as number),
    bytesMin: 2,
  },
  uint16: {
    read: (reader) => reader.readUint16(),
    write: (writer, value) => writer.writeUint16(value as number),
    bytesMin: 2,
  },
  int32: {
    read: (reader) => reader.readInt32(),
    write: (writer, value) => writer.writeInt32(value as number),
    bytesMin: 4,
  },
  int64: {
    read: (reader) => reader.readInt64(),
    write: (writer, value) => writer.writeInt64(value as bigint),
    bytesMin: 8,
  },
  safeInt64: {
    read: (reader) => reader.readSafeInt64(),
    write: (writer, value) => writer.writeSafeInt64(value as number),
    bytesMin: 8,
  },
  float64: {
    read: (reader) => reader.readFloat64(),
    write: (writer, value) => writer.writeFloat64(value as number),
    bytesMin: 8,
  },
  uuid: {
    read: (reader) => reader.readUuid(),
    write: (writer, value) => writer.writeUuid(value as string),
    bytesMin: 16,
  },
};

function stringCodec(nullable: boolean, { flexible, path }: Context): Codec {
  return {
    read: (reader) => {
      const length = reader.readStringLength(flexible);
      if (length >= 0) return reader.readUtf8(length);
      return nullable ? null : reader.fail(`${path} is null`);
    },
    write: (writer, value) => {
      if (value === null) writer.writeNullString(flexible);
      else writer.writeString(value as string, flexible);
    },
    bytesMin: flexible ? 1 : 2,
  };
}

function bytesCodec(nullable: boolean, { flexible, path }: Context): Codec {
  return {
    read: (reader) => {
      const length = reader.readBytesLength(flexible);
      if (length >= 0) return reader.readView(length);
      return nullable ? null : reader.fail(`${path} is null`);
    },
    write: (writer, value) => {
      if (value === null) writer.writeLength(-1, flexible);
      else writer.writeBytes(value as GatherBytes, flexible);
    },
    bytesMin: flexible ? 1 : 4,
  };
}

function arrayCodec(element: Codec, nullable: boolean, { flexible, path }: Context): Codec {
  invariant(element.bytesMin > 0, `${path}: elements without bytes have no bound`);
  return {
    read: (reader) => {
      const count = reader.readArrayCount(flexible, element.bytesMin);
      if (count < 0) return nullable ? null : reader.fail(`${path} is null`);
      const values: unknown[] = [];
      for (let index = 0; index < count; index += 1) values.push(element.read(reader));
      return values;
    },
    write: (writer, value) => {
      if (value === null) return writer.writeLength(-1, flexible);
      const values = value as readonly unknown[];
      writer.writeLength(values.length, flexible);
      for (const each of values) element.write(writer, each);
    },
    bytesMin: flexible ? 1 : 4,
  };
}

/** One byte in front, the same in classic and flexible versions: -1 is null, 1 is a struct. */
function nullableStruct(codec: Codec): Codec {
  return {
    read: (reader) => (reader.readInt8() < 0 ? null : codec.read(reader)),
    write: (writer, value) => {
      writer.writeInt8(value === null ? -1 : 1);
      if (value !== null) codec.write(writer, value);
    },
    bytesMin: 1,
  };
}

/** A tagged field is sent only if it differs from its default. */
function isDefault(field: Field<unknown, unknown>, value: unknown): boolean {
  const { shape, defaultValue } = field;
  if (value === null || defaultValue === null) return value === defaultValue;
  if (shape.kind === 'bytes') return gatherLength(value as GatherBytes) === 0;
  if (shape.kind === 'array') return (value as readonly unknown[]).length === 0;
  if (shape.kind === 'struct') {
    return Object.entries(shape.fields).every(([name, inner]) => {
      const given = (value as Readonly<Record<string, unknown>>)[name];
      return given === undefined || isDefault(inner, given);
    });
  }
  return value === defaultValue;
}
