import { invariant } from '@kafscale/core';
import type { VersionRange, Versions } from './versions.js';
import { allVersions, noVersions, parseVersions } from './versions.js';
import { zeroUuid } from './uuid.js';
import type { GatherBytes } from './writer.js';

/**
 * The language in which messages are declared. A message is a struct; a struct is an object whose
 * keys are the fields in wire order; a field says its type and the versions in which it exists, may
 * be null, or is tagged (KIP-482). The TypeScript types of the decoded value and of what the
 * encoder takes are inferred from the declaration.
 */
export interface FieldOptions<Value> {
  /** Versions that have the field; all versions of its message if left out. */
  readonly versions?: VersionRange;
  /** Versions in which it may be null; none if left out. */
  readonly nullable?: VersionRange;
  /** Its value where it is absent or left out: else zero, false, empty. */
  readonly default?: Value | null;
  /** A tagged field: its number, in every version that has the field. */
  readonly tag?: number;
}

export type PrimitiveKind =
  | 'bool'
  | 'int8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'int64'
  | 'safeInt64'
  | 'float64'
  | 'uuid'
  | 'string'
  | 'bytes';

/** Fields in wire order. */
export type Fields = Readonly<Record<string, Field<unknown, unknown>>>;

/** The shape of a field's values, apart from versions and null. */
export type Shape =
  | { readonly kind: PrimitiveKind }
  | { readonly kind: 'array'; readonly element: Field<unknown, unknown> }
  | { readonly kind: 'struct'; readonly fields: Fields };

/**
 * A declared field. `Decoded` is what the decoder yields, `Encodable` what the encoder takes: the
 * same, but fields may be left out and bytes may come in pieces.
 */
export interface Field<Decoded, Encodable> {
  readonly shape: Shape;
  readonly versions: Versions;
  readonly nullable: Versions;
  readonly tag: number | null;
  /** Frozen, and shared by all decoded messages that lack the field. */
  readonly defaultValue: unknown;
  /** Never set: carries the types for inference. */
  readonly types?: { readonly decoded: Decoded; readonly encodable: Encodable };
}

export type DecodedField<F> = F extends Field<infer Decoded, infer _Encodable> ? Decoded : never;
export type EncodableField<F> =
  F extends Field<infer _Decoded, infer Encodable> ? Encodable : never;

export type DecodedStruct<F extends Fields> = { readonly [Name in keyof F]: DecodedField<F[Name]> };
export type EncodableStruct<F extends Fields> = {
  readonly [Name in keyof F]?: EncodableField<F[Name]>;
};

type NullOf<Options> = Options extends { readonly nullable: VersionRange } ? null : never;

type PrimitiveField<Value, Options> = Field<Value | NullOf<Options>, Value | NullOf<Options>>;

export function bool<const O extends FieldOptions<boolean>>(
  options?: O,
): PrimitiveField<boolean, O> {
  return field({ kind: 'bool' }, false, options);
}

export function int8<const O extends FieldOptions<number>>(options?: O): PrimitiveField<number, O> {
  return field({ kind: 'int8' }, 0, options);
}

export function int16<const O extends FieldOptions<number>>(
  options?: O,
): PrimitiveField<number, O> {
  return field({ kind: 'int16' }, 0, options);
}

export function uint16<const O extends FieldOptions<number>>(
  options?: O,
): PrimitiveField<number, O> {
  return field({ kind: 'uint16' }, 0, options);
}

export function int32<const O extends FieldOptions<number>>(
  options?: O,
): PrimitiveField<number, O> {
  return field({ kind: 'int32' }, 0, options);
}

export function int64<const O extends FieldOptions<bigint>>(
  options?: O,
): PrimitiveField<bigint, O> {
  return field({ kind: 'int64' }, 0n, options);
}

/** The same 8 bytes as int64, for formats of our own that hold no number beyond 2^53. */
export function safeInt64<const O extends FieldOptions<number>>(
  options?: O,
): PrimitiveField<number, O> {
  return field({ kind: 'safeInt64' }, 0, options);
}

export function float64<const O extends FieldOptions<number>>(
  options?: O,
): PrimitiveField<number, O> {
  return field({ kind: 'float64' }, 0, options);
}

/** 16 bytes on the wire; a dashed lower-case string here. */
export function uuid<const O extends FieldOptions<string>>(options?: O): PrimitiveField<string, O> {
  return field({ kind: 'uuid' }, zeroUuid, options);
}

/** At most 32,767 bytes of UTF-8. */
export function string<const O extends FieldOptions<string>>(
  options?: O,
): PrimitiveField<string, O> {
  return field({ kind: 'string' }, '', options);
}

const emptyBytes = Buffer.alloc(0);

type BytesField<Options> = Field<Buffer | NullOf<Options>, GatherBytes | NullOf<Options>>;

/** Decodes to a view of the message; encodes from one piece or several. */
export function bytes<const O extends FieldOptions<Buffer>>(options?: O): BytesField<O> {
  return field({ kind: 'bytes' }, emptyBytes, options);
}

/**
 * Record batches. On the wire the same as bytes. Left out it is empty where Kafka's own default is
 * null, because librdkafka drops a Fetch response with null records (KAFKA-18646).
 */
export const records = bytes;

type ArrayField<E extends Field<unknown, unknown>, Options> = Field<
  readonly DecodedField<E>[] | NullOf<Options>,
  readonly EncodableField<E>[] | NullOf<Options>
>;

const emptyArray: readonly never[] = Object.freeze([]);

export function array<
  const E extends Field<unknown, unknown>,
  const O extends FieldOptions<readonly never[]>,
>(element: E, options?: O): ArrayField<E, O> {
  invariant(
    element.versions === allVersions && element.nullable === noVersions && element.tag === null,
    'the versions of an array are declared on the array, not on its element',
  );
  return field({ kind: 'array', element }, emptyArray, options);
}

type StructField<F extends Fields, Options> = Field<
  DecodedStruct<F> | NullOf<Options>,
  EncodableStruct<F> | NullOf<Options>
>;

/** Its default is a struct of its fields' defaults. A nullable one has a presence byte. */
export function struct<const F extends Fields, const O extends FieldOptions<never>>(
  fields: F,
  options?: O,
): StructField<F, O> {
  return field({ kind: 'struct', fields }, defaultStruct(fields), options);
}

export function defaultStruct(fields: Fields): Readonly<Record<string, unknown>> {
  const value: Record<string, unknown> = {};
  for (const [name, { defaultValue }] of Object.entries(fields)) value[name] = defaultValue;
  return Object.freeze(value);
}

function field<Decoded, Encodable>(
  shape: Shape,
  zeroValue: unknown,
  options: FieldOptions<unknown> = {},
): Field<Decoded, Encodable> {
  const versions = options.versions === undefined ? allVersions : parseVersions(options.versions);
  const nullable = options.nullable === undefined ? noVersions : parseVersions(options.nullable);
  const defaultValue = options.default === undefined ? zeroValue : options.default;
  invariant(
    defaultValue !== null || options.nullable !== undefined,
    'only a nullable field is null by default',
  );
  return { shape, versions, nullable, tag: options.tag ?? null, defaultValue };
}
