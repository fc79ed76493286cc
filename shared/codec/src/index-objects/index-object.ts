import { invariant, limits, OperatingError } from '@kafscale/core';
import { crc32c } from '@node-rs/crc32';
import { ProtocolError } from '../protocol/errors.js';
import { message } from '../protocol/message.js';
import type { Decoded } from '../protocol/message.js';
import * as schema from '../protocol/schema.js';
import type { IndexEntryKind } from './index-key.js';
import { recordsFields } from './index-records.js';
import type { IndexRecords } from './index-records.js';

/** Header: magic, version u16, kind u16, body length u32, CRC-32C u32. Then the body. */
const header = { bytes: 16, magic: 0, version: 4, kind: 6, bodyLength: 8, crc32c: 12 } as const;
const magic = 0x4b494458; // "KIDX"
const formatVersion = 1;
const kinds = { snapshot: 1, manifest: 2, part: 3, claim: 4 } as const;

const partMessage = message({
  name: 'IndexPart',
  versions: '0',
  flexible: '0+',
  fields: recordsFields,
});

const entryMessage = message({
  name: 'IndexEntry',
  versions: '0',
  flexible: '0+',
  fields: {
    clusterId: schema.string(),
    incarnation: schema.int32(),
    shardId: schema.int32(),
    sequence: schema.safeInt64(),
    shardEpoch: schema.safeInt64(),
    feedSequence: schema.safeInt64(),
    databaseTimeMs: schema.safeInt64(),
    softwareVersion: schema.string(),
    nextProducerId: schema.safeInt64(),
    recoveryFloor: schema.safeInt64(),
    isComplete: schema.bool(),
    parts: schema.array(
      schema.struct({
        partId: schema.uuid(),
        sizeBytes: schema.int32(),
        /** The part's own CRC-32C field. */
        crc32c: schema.safeInt64(),
      }),
    ),
    records: schema.struct(recordsFields),
  },
});

const claimMessage = message({
  name: 'IndexClaim',
  versions: '0',
  flexible: '0+',
  fields: {
    clusterId: schema.string(),
    incarnation: schema.int32(),
    claimedAtMs: schema.safeInt64(),
    /** What it goes on from. */
    fromIncarnation: schema.int32(),
    fromShardId: schema.int32(),
    fromSequence: schema.safeInt64(),
  },
});

/** A recovery takes its incarnation with one, so that no other recovery can take the same. */
export type IndexClaim = Decoded<typeof claimMessage>;

/** What stands at one sequence of a log: a snapshot, or a manifest. Its records may go on in parts. */
export type IndexEntry = Decoded<typeof entryMessage>;
export type IndexPartReference = IndexEntry['parts'][number];

export interface EncodedIndexObject {
  readonly chunks: readonly Uint8Array[];
  readonly sizeBytes: number;
  /** Of the whole object: what an object store checks it by. */
  readonly objectCrc32c: number;
  /** As the object's header says it. */
  readonly crc32c: number;
}

export function encodeIndexEntry(kind: IndexEntryKind, entry: IndexEntry): EncodedIndexObject {
  return encodeObject(kinds[kind], entryMessage.encode(entry, 0));
}

export function encodeIndexPart(records: IndexRecords): EncodedIndexObject {
  return encodeObject(kinds.part, partMessage.encode(records, 0));
}

export function encodeIndexClaim(claim: IndexClaim): EncodedIndexObject {
  return encodeObject(kinds.claim, claimMessage.encode(claim, 0));
}

/** Errors as {@link decodeIndexEntry}. */
export function decodeIndexClaim(object: Buffer): IndexClaim {
  return decodeBody(() => claimMessage.decode(bodyOf(object, kinds.claim), 0));
}

/**
 * Byte fields are views of `object`. Throws INDEX_OBJECT_UNRECOGNIZED (something else, or cut off
 * early), INDEX_OBJECT_VERSION_UNSUPPORTED, INDEX_OBJECT_CORRUPT.
 */
export function decodeIndexEntry(object: Buffer, kind: IndexEntryKind): IndexEntry {
  return decodeBody(() => entryMessage.decode(bodyOf(object, kinds[kind]), 0));
}

/** Errors as {@link decodeIndexEntry}; also when it is not the part that `reference` names. */
export function decodeIndexPart(object: Buffer, reference: IndexPartReference): IndexRecords {
  const body = bodyOf(object, kinds.part);
  if (object.readUInt32BE(header.crc32c) !== reference.crc32c) {
    throw corrupt('this is another part than the one that is referred to');
  }
  return decodeBody(() => partMessage.decode(body, 0));
}

function encodeObject(kind: number, body: readonly Uint8Array[]): EncodedIndexObject {
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

function bodyOf(object: Buffer, kind: number): Buffer {
  if (object.length < header.bytes || object.readUInt32BE(header.magic) !== magic) {
    throw new OperatingError('INDEX_OBJECT_UNRECOGNIZED', 'the object is not an index object');
  }
  const version = object.readUInt16BE(header.version);
  if (version !== formatVersion) {
    throw new OperatingError(
      'INDEX_OBJECT_VERSION_UNSUPPORTED',
      `index format ${version}; this program reads format ${formatVersion}`,
    );
  }
  const body = object.subarray(header.bytes);
  if (object.readUInt32BE(header.bodyLength) !== body.length) {
    throw corrupt(`${body.length} bytes of body instead of ${object.readUInt32BE(8)}`);
  }
  const checksum = crc32c(body, crc32c(object.subarray(0, header.crc32c)));
  if (checksum !== object.readUInt32BE(header.crc32c)) throw corrupt('checksum does not match');
  const found = object.readUInt16BE(header.kind);
  if (found !== kind) throw corrupt(`an object of kind ${found} in place of kind ${kind}`);
  return body;
}

function decodeBody<T>(decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (error instanceof ProtocolError) throw corrupt(error.message);
    throw error;
  }
}

function corrupt(reason: string): OperatingError {
  return new OperatingError('INDEX_OBJECT_CORRUPT', reason);
}
