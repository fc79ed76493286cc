import { invariant, limits, OperatingError } from '@kafscale/core';
import { crc32c } from '@node-rs/crc32';
import { ProtocolError } from '../protocol/errors.js';

/** Header: magic, version u16, kind u16, body length u32, CRC-32C u32. Then the body. */
const header = { bytes: 16, magic: 0, version: 4, kind: 6, bodyLength: 8, crc32c: 12 } as const;
const magic = 0x4b494458; // "KIDX"
/** 2 added cold ranges. What has none is still written as 1, for older readers. */
const formatVersions = [1, 2] as const;

export type IndexFormatVersion = (typeof formatVersions)[number];

export const indexObjectKinds = {
  snapshot: 1,
  manifest: 2,
  part: 3,
  claim: 4,
  coldRange: 5,
} as const;

export interface EncodedIndexObject {
  readonly chunks: readonly Uint8Array[];
  readonly sizeBytes: number;
  /** Of the whole object: what an object store checks it by. */
  readonly objectCrc32c: number;
  /** As the object's header says it. */
  readonly crc32c: number;
}

/** What is within the header: its version says how the body is encoded. */
export interface IndexObjectBody {
  readonly formatVersion: IndexFormatVersion;
  readonly body: Buffer;
  /** As the object's header says it. */
  readonly crc32c: number;
}

export function encodeObject(
  kind: number,
  formatVersion: IndexFormatVersion,
  body: readonly Uint8Array[],
): EncodedIndexObject {
  const bodyBytes = body.reduce((sum, chunk) => sum + chunk.length, 0);
  invariant(header.bytes + bodyBytes <= limits.indexObjectBytesMax, 'index objects are bounded');
  const head = Buffer.alloc(header.bytes);
  head.writeUInt32BE(magic, header.magic);
  head.writeUInt16BE(formatVersion, header.version);
  head.writeUInt16BE(kind, header.kind);
  head.writeUInt32BE(bodyBytes, header.bodyLength);
  const checksum = body.reduce(
    (sum, chunk) => crc32c(chunk, sum),
    crc32c(head.subarray(0, header.crc32c)),
  );
  head.writeUInt32BE(checksum, header.crc32c);
  const chunks = [head, ...body];
  const objectCrc32c = chunks.reduce((sum, chunk) => crc32c(chunk, sum), 0);
  return { chunks, sizeBytes: header.bytes + bodyBytes, objectCrc32c, crc32c: checksum };
}

/** Throws INDEX_OBJECT_UNRECOGNIZED, INDEX_OBJECT_VERSION_UNSUPPORTED, INDEX_OBJECT_CORRUPT. */
export function openObject(object: Buffer, kind: number): IndexObjectBody {
  if (object.length < header.bytes || object.readUInt32BE(header.magic) !== magic) {
    throw new OperatingError('INDEX_OBJECT_UNRECOGNIZED', 'the object is not an index object');
  }
  const version = object.readUInt16BE(header.version);
  const formatVersion = formatVersions.find((known) => known === version);
  if (formatVersion === undefined) {
    throw new OperatingError(
      'INDEX_OBJECT_VERSION_UNSUPPORTED',
      `index format ${version}; this program reads formats ${formatVersions.join(' and ')}`,
    );
  }
  const body = object.subarray(header.bytes);
  if (object.readUInt32BE(header.bodyLength) !== body.length) {
    throw corruptObject(`${body.length} bytes of body instead of ${object.readUInt32BE(8)}`);
  }
  const checksum = crc32c(body, crc32c(object.subarray(0, header.crc32c)));
  if (checksum !== object.readUInt32BE(header.crc32c)) {
    throw corruptObject('checksum does not match');
  }
  const found = object.readUInt16BE(header.kind);
  if (found !== kind) throw corruptObject(`an object of kind ${found} in place of kind ${kind}`);
  return { formatVersion, body, crc32c: checksum };
}

/** The kind that an object says it is, unchecked; null: it is no index object. */
export function indexObjectKind(object: Buffer): number | null {
  if (object.length < header.bytes || object.readUInt32BE(header.magic) !== magic) return null;
  return object.readUInt16BE(header.kind);
}

export function decodeObjectBody<T>(decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (error instanceof ProtocolError) throw corruptObject(error.message);
    throw error;
  }
}

export function corruptObject(reason: string): OperatingError {
  return new OperatingError('INDEX_OBJECT_CORRUPT', reason);
}
