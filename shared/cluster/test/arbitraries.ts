import * as fc from 'fast-check';
import type {
  Extent,
  FeedEvent,
  FeedMessage,
  KafkaReply,
  KafkaRequest,
  NodeInfo,
  NodeRole,
  SegmentAnswer,
  SegmentCommit,
  TopicState,
} from '../src/index.js';

/** Values of every message between services, edges of their ranges included. */
export const count = fc.nat();
export const safe = fc.integer({ min: -1, max: Number.MAX_SAFE_INTEGER });
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const int16 = fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 });
export const uuid = fc.uuid();
const text = fc.string({ maxLength: 60, unit: 'binary' });
const bytes = fc.uint8Array({ maxLength: 3_000 }).map((array) => Buffer.from(array));

export const kafkaRequest: fc.Arbitrary<KafkaRequest> = fc.record({
  apiKey: int16,
  apiVersion: int16,
  clientId: fc.option(text, { nil: null }),
  clientHost: text,
  principal: text,
  listener: text,
  connectionId: text,
  requestNumber: safe,
  body: bytes,
});

export const kafkaReply: fc.Arbitrary<KafkaReply> = fc.oneof(
  fc.record({ kind: fc.constant('response' as const), chunks: fc.array(bytes, { maxLength: 5 }) }),
  fc.record({ kind: fc.constant('none' as const) }),
  fc.record({ kind: fc.constant('close' as const), reason: text }),
);

const batch = fc.record({
  recordCount: int32,
  firstTimestampMs: safe,
  maxTimestampMs: safe,
  producerId: safe,
  producerEpoch: int16,
  baseSequence: int32,
  excluded: fc.boolean(),
});

export const segmentCommit: fc.Arbitrary<SegmentCommit> = fc.record({
  segmentId: uuid,
  nodeId: count,
  incarnation: count,
  birthMs: safe,
  sizeBytes: count,
  extents: fc.array(
    fc.record({
      partitionId: safe,
      position: count,
      length: count,
      batches: fc.array(batch, { maxLength: 6 }),
    }),
    { maxLength: 6 },
  ),
});

const batchAnswer = fc.record({ errorCode: int16, baseOffset: safe, logStartOffset: safe });

export const segmentAnswer: fc.Arbitrary<SegmentAnswer> = fc.oneof(
  fc.record({
    kind: fc.constant('committed' as const),
    extents: fc.array(fc.array(batchAnswer, { maxLength: 5 }), { maxLength: 5 }),
  }),
  fc.record({ kind: fc.constant('tooOld' as const) }),
  fc.record({ kind: fc.constant('fenced' as const) }),
);

export const extent: fc.Arbitrary<Extent> = fc.record({
  partitionId: safe,
  baseOffset: safe,
  nextOffset: safe,
  segmentId: fc.oneof(uuid, fc.constant('00000000-0000-4000-8000-000000000001')),
  position: count,
  length: count,
  skippedBatches: fc.array(fc.nat({ max: 1_000 }), { maxLength: 5 }),
  firstTimestampMs: safe,
  maxTimestampMs: safe,
  absoluteOffsets: fc.boolean(),
  writerNodeId: safe,
});

export const topic: fc.Arbitrary<TopicState> = fc.record({
  topicId: uuid,
  name: text,
  settings: fc.record({
    messageBytesMax: count,
    timestampType: fc.constantFrom('CreateTime' as const, 'LogAppendTime' as const),
    timestampBeforeMsMax: fc.constantFrom(0, 3_600_000, Number.MAX_SAFE_INTEGER, 2 ** 63),
    timestampAfterMsMax: fc.constantFrom(0, 3_600_000, Number.MAX_SAFE_INTEGER, 2 ** 63),
    flushMs: fc.integer({ min: -1, max: 60_000 }),
  }),
  partitions: fc.uniqueArray(
    fc.record(
      {
        partitionId: safe,
        partitionIndex: int32,
        leaderEpoch: int32,
        leaderEpochs: fc.array(fc.record({ leaderEpoch: int32, startOffset: safe }), {
          minLength: 1,
          maxLength: 3,
        }),
        logStartOffset: safe,
        highWatermark: safe,
      },
      {
        requiredKeys: [
          'partitionId',
          'partitionIndex',
          'leaderEpoch',
          'logStartOffset',
          'highWatermark',
        ],
      },
    ),
    { maxLength: 8, selector: ({ partitionIndex }) => partitionIndex },
  ),
});

const event: fc.Arbitrary<FeedEvent> = fc.oneof(
  fc.record({ kind: fc.constant('topic' as const), topic }),
  fc.record({ kind: fc.constant('topicDeleted' as const), topicId: uuid }),
  fc.record({
    kind: fc.constant('committed' as const),
    extents: fc.array(extent, { maxLength: 6 }),
  }),
  fc.record({
    kind: fc.constant('logStart' as const),
    partitionId: safe,
    logStartOffset: safe,
  }),
  fc.record({
    kind: fc.constant('swapped' as const),
    ranges: fc.array(fc.record({ partitionId: safe, baseOffset: safe, nextOffset: safe }), {
      maxLength: 6,
    }),
  }),
);

export const position = fc.record({ leaseEpoch: safe, sequence: safe });

export const feedMessage: fc.Arbitrary<FeedMessage> = fc.oneof(
  fc.record({
    kind: fc.constant('snapshot' as const),
    position,
    topics: fc.array(topic, { maxLength: 4 }),
  }),
  fc.record({
    kind: fc.constant('events' as const),
    position,
    events: fc.array(event, { maxLength: 4 }),
  }),
);

const role = fc.constantFrom<NodeRole>('front', 'ingest', 'fetch', 'coordinator');

export const registration = fc.record({
  instanceId: uuid,
  roles: fc.array(role, { maxLength: 4 }),
  zone: text,
  internalUrl: text,
  advertised: fc.option(fc.record({ host: text, port: fc.nat({ max: 65_535 }) }), { nil: null }),
});

export const node: fc.Arbitrary<NodeInfo> = registration.chain((registered) =>
  fc
    .record({ nodeId: safe, brokerId: fc.option(fc.nat(), { nil: null }) })
    .map((ids) => ({ ...registered, ...ids })),
);

export const clusterView = fc.record({
  clusterId: text,
  incarnation: count,
  databaseTimeMs: fc.double({ noNaN: true, min: 0, max: 2 ** 50 }),
  nodes: fc.array(node, { maxLength: 5 }),
});
