import { invariant } from '@kafscale/core';
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
import type { EncodedIndexObject } from './index-envelope.js';

// A piece of a partition's index that has left the metadata store: docs/index-format.md, cold ranges.

const coldExtentFields = {
  baseOffset: schema.safeInt64(),
  nextOffset: schema.safeInt64(),
  position: schema.safeInt64(),
  length: schema.safeInt64(),
  firstTimestampMs: schema.safeInt64(),
  maxTimestampMs: schema.safeInt64(),
  /** The greatest of the partition up to and with this extent, as of when it left. */
  prefixMaxTimestampMs: schema.safeInt64(),
  absoluteOffsets: schema.bool(),
  skippedBatches: schema.array(schema.int32()),
  segmentId: schema.uuid(),
  nodeId: schema.int32(),
  incarnation: schema.int32(),
  birthMs: schema.safeInt64(),
  committedAtMs: schema.safeInt64(),
  segmentBytes: schema.safeInt64(),
  isCompacted: schema.bool(),
  /** Other partitions have extents of the segment too, so the metadata store still has its row. */
  isShared: schema.bool(),
} as const;

const coldRangeMessage = message({
  name: 'IndexColdRange',
  versions: '0',
  flexible: '0+',
  fields: {
    objectId: schema.uuid(),
    clusterId: schema.string(),
    topicId: schema.uuid(),
    partitionIndex: schema.int32(),
    partitionId: schema.int32(),
    extents: schema.array(schema.struct(coldExtentFields)),
  },
});

/** Adjacent extents of one partition, in offset order, with what is known of their segments. */
export type ColdRange = Decoded<typeof coldRangeMessage>;
export type ColdExtent = ColdRange['extents'][number];

/** Where all of them are, relative to the store's own prefix. */
export const coldRangesPrefix = 'v1/cold/';

const keyPattern =
  /^(?:.*\/)?v1\/cold\/([0-9a-f]{2})\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.idx$/;

/** The two digits that spread the keys are the id's last, as those of segments are. */
export function coldRangeKey(objectId: string): string {
  const key = `${coldRangesPrefix}${objectId.slice(-2)}/${objectId}.idx`;
  invariant(keyPattern.test(key), 'the id of a cold range is a lower-case dashed UUID');
  return key;
}

/** Undefined when it is not the key of a cold range. */
export function parseColdRangeKey(key: string): string | undefined {
  const match = keyPattern.exec(key);
  const objectId = match?.[2];
  return match?.[1] === objectId?.slice(-2) ? objectId : undefined;
}

/** The extents follow one another without a hole; there is at least one. */
export function encodeColdRange(range: ColdRange): EncodedIndexObject {
  const hole = findHole(range.extents);
  invariant(hole === null, `a cold range is written whole: ${hole}`);
  return encodeObject(indexObjectKinds.coldRange, 2, coldRangeMessage.encode(range, 0));
}

/** Throws INDEX_OBJECT_UNRECOGNIZED, INDEX_OBJECT_VERSION_UNSUPPORTED, INDEX_OBJECT_CORRUPT. */
export function decodeColdRange(object: Buffer): ColdRange {
  const { body } = openObject(object, indexObjectKinds.coldRange);
  const range = decodeObjectBody(() => coldRangeMessage.decode(body, 0));
  const hole = findHole(range.extents);
  if (hole !== null) throw corruptObject(hole);
  return range;
}

function findHole(extents: readonly ColdExtent[]): string | null {
  let expected = extents[0]?.baseOffset;
  if (expected === undefined) return 'it has no extents';
  for (const { baseOffset, nextOffset } of extents) {
    if (baseOffset !== expected || nextOffset <= baseOffset) return `a hole at offset ${expected}`;
    expected = nextOffset;
  }
  return null;
}
