import { message } from '../protocol/message.js';
import type { Decoded } from '../protocol/message.js';
import * as schema from '../protocol/schema.js';
import {
  corruptObject,
  decodeObjectBody,
  encodeObject,
  indexObjectKinds,
  openObject,
} from './index-envelope.js';
import type { EncodedIndexObject, IndexFormatVersion } from './index-envelope.js';
import type { IndexEntryKind } from './index-key.js';
import { recordsFields } from './index-records.js';
import type { IndexRecords } from './index-records.js';

const partMessage = message({
  name: 'IndexPart',
  versions: '0-1',
  flexible: '0+',
  fields: recordsFields,
});

const entryMessage = message({
  name: 'IndexEntry',
  versions: '0-1',
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

/** Version of the messages above, by format version. */
const messageVersion: { readonly [V in IndexFormatVersion]: number } = { 1: 0, 2: 1 };

function formatOf(records: IndexRecords): IndexFormatVersion {
  return records.coldRanges.length === 0 ? 1 : 2;
}

export function encodeIndexEntry(kind: IndexEntryKind, entry: IndexEntry): EncodedIndexObject {
  const format = formatOf(entry.records);
  const body = entryMessage.encode(entry, messageVersion[format]);
  return encodeObject(indexObjectKinds[kind], format, body);
}

export function encodeIndexPart(records: IndexRecords): EncodedIndexObject {
  const format = formatOf(records);
  const body = partMessage.encode(records, messageVersion[format]);
  return encodeObject(indexObjectKinds.part, format, body);
}

export function encodeIndexClaim(claim: IndexClaim): EncodedIndexObject {
  return encodeObject(indexObjectKinds.claim, 1, claimMessage.encode(claim, 0));
}

/** Errors as {@link decodeIndexEntry}. */
export function decodeIndexClaim(object: Buffer): IndexClaim {
  const { body } = openObject(object, indexObjectKinds.claim);
  return decodeObjectBody(() => claimMessage.decode(body, 0));
}

/**
 * Byte fields are views of `object`. Throws INDEX_OBJECT_UNRECOGNIZED (something else, or cut off
 * early), INDEX_OBJECT_VERSION_UNSUPPORTED, INDEX_OBJECT_CORRUPT.
 */
export function decodeIndexEntry(object: Buffer, kind: IndexEntryKind): IndexEntry {
  const { body, formatVersion } = openObject(object, indexObjectKinds[kind]);
  return decodeObjectBody(() => entryMessage.decode(body, messageVersion[formatVersion]));
}

/** Errors as {@link decodeIndexEntry}; also when it is not the part that `reference` names. */
export function decodeIndexPart(object: Buffer, reference: IndexPartReference): IndexRecords {
  const { body, crc32c, formatVersion } = openObject(object, indexObjectKinds.part);
  if (crc32c !== reference.crc32c) {
    throw corruptObject('this is another part than the one that is referred to');
  }
  return decodeObjectBody(() => partMessage.decode(body, messageVersion[formatVersion]));
}
