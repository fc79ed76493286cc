import { invariant } from '@kafscale/core';
import type { Codec } from './compile.js';
import { compileStruct } from './compile.js';
import { ProtocolError } from './errors.js';
import { Reader } from './reader.js';
import type { DecodedStruct, EncodableStruct, Fields } from './schema.js';
import type { VersionRange, Versions } from './versions.js';
import { includesVersion, noVersions, parseVersions } from './versions.js';
import { Writer } from './writer.js';

export interface MessageDeclaration<F extends Fields> {
  /** Like `FetchRequest`. */
  readonly name: string;
  /** Kafka's API key; left out for a message of our own. */
  readonly apiKey?: number;
  readonly versions: VersionRange;
  /** Versions with compact types and tagged fields (KIP-482); left out if none has. */
  readonly flexible?: VersionRange;
  readonly fields: F;
}

/** A declared message. `Decoded<typeof m>` and `Encodable<typeof m>` are the types of its values. */
export interface Message<F extends Fields> {
  readonly name: string;
  /** -1 for a message of our own. */
  readonly apiKey: number;
  readonly minVersion: number;
  readonly maxVersion: number;
  /** null: no version is flexible. */
  readonly flexibleSince: number | null;
  readonly fields: F;
  /**
   * Decodes one whole message: bytes behind its end are an error. Yields every declared field, its
   * default where the version has none. Byte fields are views of `body`. Throws ProtocolError.
   */
  decode(body: Buffer, version: number): DecodedStruct<F>;
  /**
   * The chunks whose concatenation is the message. Fields that are left out take their defaults;
   * fields that the version lacks are ignored. Pieces of byte fields from 1 KiB on are in the list
   * by reference: leave them as they are until it is sent. Throws ProtocolError.
   */
  encode(value: EncodableStruct<F>, version: number): Uint8Array[];
}

export type AnyMessage = Message<Fields>;

/** What decoding the message yields: every field. */
export type Decoded<M> = M extends Message<infer F> ? DecodedStruct<F> : never;

/** What encoding the message takes: every field may be left out. */
export type Encodable<M> = M extends Message<infer F> ? EncodableStruct<F> : never;

export function message<const F extends Fields>(declaration: MessageDeclaration<F>): Message<F> {
  const { name, fields } = declaration;
  const versions = parseVersions(declaration.versions);
  const flexible = declaration.flexible ? parseVersions(declaration.flexible) : noVersions;
  const codecs: (Codec | undefined)[] = [];

  const codecOf = (version: number): Codec => {
    const known = codecs[version];
    if (known) return known;
    checkVersion(name, versions, version);
    const isFlexible = includesVersion(flexible, version);
    const codec = compileStruct(fields, { version, flexible: isFlexible, path: name });
    codecs[version] = codec;
    return codec;
  };

  return {
    name,
    apiKey: declaration.apiKey ?? -1,
    minVersion: versions.min,
    maxVersion: versions.max,
    flexibleSince: declaration.flexible ? flexible.min : null,
    fields,
    decode(body, version) {
      const reader = new Reader(body);
      const value = codecOf(version).read(reader);
      reader.expectEnd();
      return value as DecodedStruct<F>;
    },
    encode(value, version) {
      const writer = new Writer();
      codecOf(version).write(writer, value);
      return writer.finish();
    },
  };
}

function checkVersion(name: string, versions: Versions, version: number): void {
  invariant(Number.isInteger(version), 'a version is an integer');
  if (!includesVersion(versions, version)) {
    throw new ProtocolError('UNSUPPORTED_MESSAGE_VERSION', `${name} has no version ${version}`);
  }
}
