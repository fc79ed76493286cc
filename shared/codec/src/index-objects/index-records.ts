import type { Decoded, Message } from '../protocol/message.js';
import * as schema from '../protocol/schema.js';

// What the metadata store knows, record by record, as the bucket keeps it: docs/index-format.md.
// Every record says the whole present state of what it is about, so that applying one twice, or on
// top of a later state that it led to, changes nothing.

const leaderEpochFields = {
  leaderEpoch: schema.int32(),
  /** The first offset that was given out under it. */
  startOffset: schema.safeInt64(),
} as const;

const configFields = { name: schema.string(), value: schema.string() } as const;

const topicFields = {
  topicId: schema.uuid(),
  name: schema.string(),
  createdAtMs: schema.safeInt64(),
  configs: schema.array(schema.struct(configFields)),
} as const;

const deletedTopicFields = { topicId: schema.uuid() } as const;

const partitionFields = {
  partitionId: schema.int32(),
  topicId: schema.uuid(),
  partitionIndex: schema.int32(),
  leaderEpoch: schema.int32(),
  logStartOffset: schema.safeInt64(),
  nextOffset: schema.safeInt64(),
  maxTimestampMs: schema.safeInt64(),
  producerStateFloor: schema.safeInt64(),
  leaderEpochs: schema.array(schema.struct(leaderEpochFields)),
} as const;

const segmentFields = {
  segmentId: schema.uuid(),
  nodeId: schema.int32(),
  incarnation: schema.int32(),
  birthMs: schema.safeInt64(),
  committedAtMs: schema.safeInt64(),
  sizeBytes: schema.safeInt64(),
  isCompacted: schema.bool(),
  /** What a repeated commit is answered; null when nobody can repeat it any more. */
  answer: schema.bytes({ nullable: '0+', default: null }),
} as const;

const extentFields = {
  partitionId: schema.int32(),
  baseOffset: schema.safeInt64(),
  nextOffset: schema.safeInt64(),
  segmentId: schema.uuid(),
  position: schema.safeInt64(),
  length: schema.safeInt64(),
  firstTimestampMs: schema.safeInt64(),
  maxTimestampMs: schema.safeInt64(),
  absoluteOffsets: schema.bool(),
  skippedBatches: schema.array(schema.int32()),
} as const;

const keptBatchFields = {
  baseSequence: schema.int32(),
  lastSequence: schema.int32(),
  baseOffset: schema.safeInt64(),
  maxTimestampMs: schema.safeInt64(),
} as const;

const producerFields = {
  partitionId: schema.int32(),
  producerId: schema.safeInt64(),
  producerEpoch: schema.int16(),
  batches: schema.array(schema.struct(keptBatchFields)),
} as const;

const groupOffsetFields = {
  topicId: schema.uuid(),
  partitionIndex: schema.int32(),
  /** As the client sent it: any int64. */
  committedOffset: schema.int64(),
  leaderEpoch: schema.int32(),
  metadata: schema.bytes(),
} as const;

const groupFields = {
  groupId: schema.string(),
  /** The group is gone, with its offsets; the rest means nothing. */
  isDeleted: schema.bool(),
  generationId: schema.int32(),
  protocolType: schema.string({ nullable: '0+', default: null }),
  /** Its offsets are in addition to those of the record before it, which is of the same group. */
  isContinued: schema.bool(),
  /** All of the group's offsets: those that are not here are gone. */
  offsets: schema.array(schema.struct(groupOffsetFields)),
} as const;

const coldRangeFields = {
  partitionId: schema.int32(),
  baseOffset: schema.safeInt64(),
  nextOffset: schema.safeInt64(),
  /** The object that has its extents. */
  objectId: schema.uuid(),
  extents: schema.int32(),
} as const;

export const recordsFields = {
  topics: schema.array(schema.struct(topicFields)),
  deletedTopics: schema.array(schema.struct(deletedTopicFields)),
  partitions: schema.array(schema.struct(partitionFields)),
  segments: schema.array(schema.struct(segmentFields)),
  extents: schema.array(schema.struct(extentFields)),
  producers: schema.array(schema.struct(producerFields)),
  groups: schema.array(schema.struct(groupFields)),
  /** Since format 2. One replaces every extent and every other range that it overlaps. */
  coldRanges: schema.array(schema.struct(coldRangeFields), { versions: '1+' }),
} as const;

export type IndexRecords = Decoded<Message<typeof recordsFields>>;
export type IndexTopic = IndexRecords['topics'][number];
export type IndexPartition = IndexRecords['partitions'][number];
export type IndexSegment = IndexRecords['segments'][number];
export type IndexExtent = IndexRecords['extents'][number];
export type IndexProducer = IndexRecords['producers'][number];
export type IndexGroup = IndexRecords['groups'][number];
export type IndexColdRange = IndexRecords['coldRanges'][number];
export type IndexGroupOffset = IndexGroup['offsets'][number];

export const emptyIndexRecords: IndexRecords = {
  topics: [],
  deletedTopics: [],
  partitions: [],
  segments: [],
  extents: [],
  producers: [],
  groups: [],
  coldRanges: [],
};
