import { message, schema } from '@kafscale/codec';
import type { Decoded, Encodable, Message } from '@kafscale/codec';
import type {
  FeedEvent,
  FeedMessage,
  FeedOptions,
  FeedPosition,
  LeaderEpochStart,
  OffsetRange,
  PartitionHead,
  TopicState,
} from '../feed.js';
import { decodeExtents, encodeExtents, extentFields } from './extent-rows.js';
import { checkedInteger, malformed, RowReader, RowWriter } from './packed-rows.js';

const topicFields = {
  topicId: schema.uuid(),
  name: schema.string(),
  messageBytesMax: schema.float64(),
  timestampType: schema.int8(),
  timestampBeforeMsMax: schema.float64(),
  timestampAfterMsMax: schema.float64(),
  flushMs: schema.int32(),
  partitions: schema.bytes(),
  /** Of partitions that have been through a recovery. */
  leaderEpochs: schema.bytes(),
} as const;

/** One event: which fields count depends on its kind. */
const eventFields = {
  kind: schema.int8(),
  topic: schema.struct(topicFields, { nullable: '0+' }),
  topicId: schema.uuid(),
  committed: schema.struct(extentFields, { nullable: '0+' }),
  partitionId: schema.float64(),
  logStartOffset: schema.float64(),
  ranges: schema.bytes(),
} as const;

const feedMessage = message({
  name: 'FeedMessage',
  versions: '0',
  flexible: '0+',
  fields: {
    kind: schema.int8(),
    leaseEpoch: schema.float64(),
    sequence: schema.float64(),
    topics: schema.array(schema.struct(topicFields)),
    events: schema.array(schema.struct(eventFields)),
  },
});

const optionsMessage = message({
  name: 'FeedOptions',
  versions: '0',
  flexible: '0+',
  fields: { commits: schema.bool() },
});

const positionMessage = message({
  name: 'FeedPosition',
  versions: '0',
  flexible: '0+',
  fields: { leaseEpoch: schema.float64(), sequence: schema.float64() },
});

const messageKinds = { snapshot: 0, events: 1 } as const;
const eventKinds = { topic: 0, topicDeleted: 1, committed: 2, logStart: 3, swapped: 4 } as const;
const timestampTypes = ['CreateTime', 'LogAppendTime'] as const;
const partitionRowBytes = 3 * 8 + 2 * 4;
const rangeRowBytes = 3 * 8;
const leaderEpochRowBytes = 2 * 4 + 8;

export function encodeFeedMessage(value: FeedMessage): Uint8Array[] {
  const isSnapshot = value.kind === 'snapshot';
  return feedMessage.encode(
    {
      kind: messageKinds[value.kind],
      leaseEpoch: value.position.leaseEpoch,
      sequence: value.position.sequence,
      topics: isSnapshot ? value.topics.map(packTopic) : [],
      events: isSnapshot ? [] : value.events.map(packEvent),
    },
    0,
  );
}

/** Throws ProtocolError. */
export function decodeFeedMessage(payload: Buffer): FeedMessage {
  const { kind, topics, events, ...packedPosition } = feedMessage.decode(payload, 0);
  const position = unpackPosition(packedPosition);
  switch (kind) {
    case messageKinds.snapshot:
      return { kind: 'snapshot', position, topics: topics.map(unpackTopic) };
    case messageKinds.events:
      return { kind: 'events', position, events: events.map(unpackEvent) };
    default:
      return malformed(`feed message kind ${kind}`);
  }
}

export function encodeFeedOptions(options: FeedOptions): Uint8Array[] {
  return optionsMessage.encode(options, 0);
}

export function decodeFeedOptions(payload: Buffer): FeedOptions {
  return optionsMessage.decode(payload, 0);
}

export function encodeFeedPosition(position: FeedPosition): Uint8Array[] {
  return positionMessage.encode(position, 0);
}

export function decodeFeedPosition(payload: Buffer): FeedPosition {
  return unpackPosition(positionMessage.decode(payload, 0));
}

type PackedTopic = Decoded<Message<typeof topicFields>>;
type PackedEvent = Decoded<Message<typeof eventFields>>;
type PackedTopicInput = Encodable<Message<typeof topicFields>>;
type PackedEventInput = Encodable<Message<typeof eventFields>>;

function unpackPosition(position: FeedPosition): FeedPosition {
  return {
    leaseEpoch: checkedInteger(position.leaseEpoch),
    sequence: checkedInteger(position.sequence),
  };
}

function packTopic(topic: TopicState): PackedTopicInput {
  const { settings } = topic;
  return {
    topicId: topic.topicId,
    name: topic.name,
    messageBytesMax: settings.messageBytesMax,
    timestampType: timestampTypes.indexOf(settings.timestampType),
    timestampBeforeMsMax: settings.timestampBeforeMsMax,
    timestampAfterMsMax: settings.timestampAfterMsMax,
    flushMs: settings.flushMs,
    partitions: packPartitions(topic.partitions),
    leaderEpochs: packLeaderEpochs(topic.partitions),
  };
}

function packPartitions(partitions: readonly PartitionHead[]): Buffer {
  const rows = new RowWriter(partitions.length, partitionRowBytes);
  for (const partition of partitions) {
    rows.float64(partition.partitionId);
    rows.int32(partition.partitionIndex);
    rows.int32(partition.leaderEpoch);
    rows.float64(partition.logStartOffset);
    rows.float64(partition.highWatermark);
  }
  return rows.finish();
}

function packLeaderEpochs(partitions: readonly PartitionHead[]): Buffer {
  const count = partitions.reduce((sum, head) => sum + (head.leaderEpochs?.length ?? 0), 0);
  const rows = new RowWriter(count, leaderEpochRowBytes);
  for (const { leaderEpochs, partitionIndex } of partitions) {
    for (const { leaderEpoch, startOffset } of leaderEpochs ?? []) {
      rows.int32(partitionIndex);
      rows.int32(leaderEpoch);
      rows.float64(startOffset);
    }
  }
  return rows.finish();
}

function unpackLeaderEpochs(packed: Buffer): ReadonlyMap<number, LeaderEpochStart[]> {
  const rows = new RowReader(packed, leaderEpochRowBytes);
  const byIndex = new Map<number, LeaderEpochStart[]>();
  for (let row = 0; row < rows.count; row += 1) {
    const partitionIndex = rows.int32();
    const start = { leaderEpoch: rows.int32(), startOffset: rows.integer() };
    const starts = byIndex.get(partitionIndex);
    if (starts === undefined) byIndex.set(partitionIndex, [start]);
    else starts.push(start);
  }
  return byIndex;
}

function unpackTopic(packed: PackedTopic): TopicState {
  const epochs = unpackLeaderEpochs(packed.leaderEpochs);
  const rows = new RowReader(packed.partitions, partitionRowBytes);
  const partitions: PartitionHead[] = [];
  for (let row = 0; row < rows.count; row += 1) {
    const head = {
      partitionId: rows.integer(),
      partitionIndex: rows.int32(),
      leaderEpoch: rows.int32(),
      logStartOffset: rows.integer(),
      highWatermark: rows.integer(),
    };
    const leaderEpochs = epochs.get(head.partitionIndex);
    partitions.push(leaderEpochs === undefined ? head : { ...head, leaderEpochs });
  }
  const timestampType = timestampTypes[packed.timestampType];
  return {
    topicId: packed.topicId,
    name: packed.name,
    settings: {
      messageBytesMax: packed.messageBytesMax,
      timestampType: timestampType ?? malformed(`timestamp type ${packed.timestampType}`),
      timestampBeforeMsMax: packed.timestampBeforeMsMax,
      timestampAfterMsMax: packed.timestampAfterMsMax,
      flushMs: packed.flushMs,
    },
    partitions,
  };
}

function packEvent(event: FeedEvent): PackedEventInput {
  const kind = eventKinds[event.kind];
  switch (event.kind) {
    case 'topic':
      return { kind, topic: packTopic(event.topic), committed: null };
    case 'topicDeleted':
      return { kind, topicId: event.topicId, topic: null, committed: null };
    case 'committed':
      return { kind, committed: encodeExtents(event.extents), topic: null };
    case 'swapped':
      return { kind, ranges: packRanges(event.ranges), topic: null, committed: null };
    case 'logStart':
      break;
  }
  const { partitionId, logStartOffset } = event;
  return { kind, partitionId, logStartOffset, topic: null, committed: null };
}

function unpackEvent(packed: PackedEvent): FeedEvent {
  switch (packed.kind) {
    case eventKinds.topic:
      return { kind: 'topic', topic: unpackTopic(packed.topic ?? malformed('no topic')) };
    case eventKinds.topicDeleted:
      return { kind: 'topicDeleted', topicId: packed.topicId };
    case eventKinds.committed:
      return {
        kind: 'committed',
        extents: decodeExtents(packed.committed ?? malformed('no extents')),
      };
    case eventKinds.logStart:
      return {
        kind: 'logStart',
        partitionId: checkedInteger(packed.partitionId),
        logStartOffset: checkedInteger(packed.logStartOffset),
      };
    case eventKinds.swapped:
      return { kind: 'swapped', ranges: unpackRanges(packed.ranges) };
    default:
      return malformed(`feed event kind ${packed.kind}`);
  }
}

function packRanges(ranges: readonly OffsetRange[]): Buffer {
  const rows = new RowWriter(ranges.length, rangeRowBytes);
  for (const range of ranges) {
    rows.float64(range.partitionId);
    rows.float64(range.baseOffset);
    rows.float64(range.nextOffset);
  }
  return rows.finish();
}

function unpackRanges(packed: Buffer): OffsetRange[] {
  const rows = new RowReader(packed, rangeRowBytes);
  return Array.from({ length: rows.count }, () => ({
    partitionId: rows.integer(),
    baseOffset: rows.integer(),
    nextOffset: rows.integer(),
  }));
}
