import { message, schema } from '@kafscale/codec';
import type { Extent } from '../feed.js';
import { decodeExtents, encodeExtents, extentFields } from './extent-rows.js';
import { checkedInteger } from './packed-rows.js';

const lookupMessage = message({
  name: 'ExtentLookup',
  versions: '0',
  flexible: '0+',
  fields: { partitionId: schema.float64(), key: schema.float64(), countMax: schema.int32() },
});

const extentsMessage = message({
  name: 'Extents',
  versions: '0',
  flexible: '0+',
  fields: extentFields,
});

const readMessage = message({
  name: 'ReadRecentSegmentRequest',
  versions: '0',
  flexible: '0+',
  fields: { segmentId: schema.uuid(), position: schema.float64(), length: schema.float64() },
});

const readAnswerMessage = message({
  name: 'ReadRecentSegmentResponse',
  versions: '0',
  flexible: '0+',
  fields: { bytes: schema.bytes({ nullable: '0+' }) },
});

export interface ExtentLookup {
  readonly partitionId: number;
  /** An offset, a timestamp, or 0 where the lookup needs none. */
  readonly key: number;
  readonly countMax: number;
}

export interface SegmentRange {
  readonly segmentId: string;
  readonly position: number;
  readonly length: number;
}

export function encodeLookup(lookup: ExtentLookup): Uint8Array[] {
  return lookupMessage.encode(lookup, 0);
}

export function decodeLookup(payload: Buffer): ExtentLookup {
  const { partitionId, key, countMax } = lookupMessage.decode(payload, 0);
  return { partitionId: checkedInteger(partitionId), key: checkedInteger(key), countMax };
}

export function encodeExtentList(extents: readonly Extent[]): Uint8Array[] {
  return extentsMessage.encode(encodeExtents(extents), 0);
}

export function decodeExtentList(payload: Buffer): Extent[] {
  return decodeExtents(extentsMessage.decode(payload, 0));
}

export function encodeSegmentRange(range: SegmentRange): Uint8Array[] {
  return readMessage.encode(range, 0);
}

export function decodeSegmentRange(payload: Buffer): SegmentRange {
  const { segmentId, position, length } = readMessage.decode(payload, 0);
  return { segmentId, position: checkedInteger(position), length: checkedInteger(length) };
}

export function encodeSegmentBytes(bytes: Buffer | null): Uint8Array[] {
  return readAnswerMessage.encode({ bytes }, 0);
}

/** A view of `payload`. */
export function decodeSegmentBytes(payload: Buffer): Buffer | null {
  return readAnswerMessage.decode(payload, 0).bytes;
}
