import { ProtocolError } from '@kafscale/codec';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeCommit,
  decodeCommitAnswers,
  encodeCommit,
  encodeCommitAnswers,
} from '../src/remote/commit-messages.js';
import {
  decodeFeedMessage,
  decodeFeedOptions,
  decodeFeedPosition,
  encodeFeedMessage,
  encodeFeedOptions,
  encodeFeedPosition,
} from '../src/remote/feed-messages.js';
import {
  decodeKafkaReply,
  decodeKafkaRequest,
  encodeKafkaReply,
  encodeKafkaRequest,
} from '../src/remote/kafka-envelope.js';
import {
  decodeExtentList,
  decodeLookup,
  decodeSegmentBytes,
  decodeSegmentRange,
  encodeExtentList,
  encodeLookup,
  encodeSegmentBytes,
  encodeSegmentRange,
} from '../src/remote/lookup-messages.js';
import {
  decodeClusterView,
  decodeNodeGrant,
  decodeNodeInstance,
  decodeRegistration,
  encodeClusterView,
  encodeNodeGrant,
  encodeNodeInstance,
  encodeRegistration,
} from '../src/remote/node-messages.js';
import type { BatchCommit, KafkaReply } from '../src/index.js';
import * as arbitrary from './arbitraries.js';

function roundTrip<Value>(
  values: fc.Arbitrary<Value>,
  encode: (value: Value) => readonly Uint8Array[],
  decode: (payload: Buffer) => Value,
): void {
  fc.assert(
    fc.property(values, (value) => {
      expect(decode(Buffer.concat(encode(value)))).toEqual(value);
    }),
  );
}

/** Damaged bytes decode to something or are a ProtocolError: never another error, never a hang. */
function survivesDamage<Value>(
  values: fc.Arbitrary<Value>,
  encode: (value: Value) => readonly Uint8Array[],
  decode: (payload: Buffer) => unknown,
): void {
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 4 });
  fc.assert(
    fc.property(values, damage, fc.nat(), (value, changes, cut) => {
      const whole = Buffer.concat(encode(value));
      const payload = Buffer.from(whole.subarray(0, whole.length - (cut % 3)));
      for (const [where, what] of changes) {
        if (payload.length > 0) payload[where % payload.length] = what;
      }
      try {
        decode(payload);
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
      }
    }),
  );
}

/** A reply's chunks arrive joined. */
function joined(reply: KafkaReply): KafkaReply {
  return reply.kind === 'response' ? { ...reply, chunks: [Buffer.concat(reply.chunks)] } : reply;
}

describe('what is encoded is what is decoded', () => {
  test('Kafka requests', () => {
    roundTrip(arbitrary.kafkaRequest, encodeKafkaRequest, decodeKafkaRequest);
  });

  test('Kafka replies', () => {
    roundTrip(arbitrary.kafkaReply.map(joined), encodeKafkaReply, decodeKafkaReply);
    fc.assert(
      fc.property(arbitrary.kafkaReply, (reply) => {
        expect(decodeKafkaReply(Buffer.concat(encodeKafkaReply(reply)))).toEqual(joined(reply));
      }),
    );
  });

  test('commits and their answers', () => {
    roundTrip(fc.array(arbitrary.segmentCommit, { maxLength: 4 }), encodeCommit, decodeCommit);
    roundTrip(
      fc.array(arbitrary.segmentAnswer, { maxLength: 4 }),
      encodeCommitAnswers,
      decodeCommitAnswers,
    );
  });

  test('feed messages, options and positions', () => {
    roundTrip(arbitrary.feedMessage, encodeFeedMessage, decodeFeedMessage);
    roundTrip(arbitrary.position, encodeFeedPosition, decodeFeedPosition);
    roundTrip(fc.record({ commits: fc.boolean() }), encodeFeedOptions, decodeFeedOptions);
  });

  test('lookups', () => {
    const lookup = fc.record({
      partitionId: arbitrary.safe,
      key: arbitrary.safe,
      countMax: arbitrary.count,
    });
    roundTrip(lookup, encodeLookup, decodeLookup);
    roundTrip(fc.array(arbitrary.extent, { maxLength: 8 }), encodeExtentList, decodeExtentList);
    const range = fc.record({
      segmentId: arbitrary.uuid,
      position: arbitrary.count,
      length: arbitrary.count,
    });
    roundTrip(range, encodeSegmentRange, decodeSegmentRange);
    const bytes = fc.uint8Array({ maxLength: 2_000 }).map((array) => Buffer.from(array));
    roundTrip(fc.option(bytes, { nil: null }), encodeSegmentBytes, decodeSegmentBytes);
  });

  test('registrations, heartbeats, grants and views', () => {
    roundTrip(arbitrary.registration, encodeRegistration, decodeRegistration);
    const instance = fc.record({ nodeId: arbitrary.safe, instanceId: arbitrary.uuid });
    roundTrip(instance, encodeNodeInstance, decodeNodeInstance);
    roundTrip(arbitrary.clusterView, encodeClusterView, decodeClusterView);
    const grant = arbitrary.clusterView.map((view) => ({ ...view, nodeId: 12 }));
    roundTrip(grant, encodeNodeGrant, decodeNodeGrant);
  });
});

describe('damaged bytes are an error, never a crash', () => {
  test('of every message', () => {
    survivesDamage(arbitrary.kafkaRequest, encodeKafkaRequest, decodeKafkaRequest);
    survivesDamage(arbitrary.kafkaReply, encodeKafkaReply, decodeKafkaReply);
    survivesDamage(fc.array(arbitrary.segmentCommit), encodeCommit, decodeCommit);
    survivesDamage(fc.array(arbitrary.segmentAnswer), encodeCommitAnswers, decodeCommitAnswers);
    survivesDamage(arbitrary.feedMessage, encodeFeedMessage, decodeFeedMessage);
    survivesDamage(fc.array(arbitrary.extent), encodeExtentList, decodeExtentList);
    survivesDamage(arbitrary.registration, encodeRegistration, decodeRegistration);
    survivesDamage(arbitrary.clusterView, encodeClusterView, decodeClusterView);
  });
});

describe('what the wire costs', () => {
  test('a request envelope passes the body on without copying it', () => {
    const body = Buffer.alloc(96 * 1024, 7);
    const request = {
      apiKey: 0,
      apiVersion: 9,
      clientId: 'producer-1',
      clientHost: '10.0.0.1',
      principal: 'User:ANONYMOUS',
      listener: 'PLAINTEXT',
      connectionId: 'c1',
      requestNumber: 12,
      body,
    };
    const chunks = encodeKafkaRequest(request);
    expect(chunks.some((chunk) => chunk.buffer === body.buffer)).toBe(true);
    expect(Buffer.concat(chunks).length - body.length).toBeLessThan(100);
  });

  test('a commit of 20,000 batches takes 35 bytes per batch', () => {
    const batch: BatchCommit = {
      recordCount: 100,
      firstTimestampMs: 1_700_000_000_000,
      maxTimestampMs: 1_700_000_000_100,
      producerId: 77,
      producerEpoch: 0,
      baseSequence: 1_000,
      excluded: false,
    };
    const commit = {
      segmentId: '00000000-0000-4000-8000-000000000001',
      nodeId: 3,
      incarnation: 1,
      birthMs: 1_700_000_000_000,
      sizeBytes: 8 * 1024 * 1024,
      extents: Array.from({ length: 20_000 }, (_, partitionId) => ({
        partitionId,
        position: partitionId * 400,
        length: 400,
        batches: [batch],
      })),
    };
    const payload = Buffer.concat(encodeCommit([commit]));
    expect(payload.length).toBeLessThan(20_000 * (28 + 35) + 100);
    expect(decodeCommit(payload)).toEqual([commit]);
  });

  test('the id of a segment is sent once for all of its extents', () => {
    const segmentId = '00000000-0000-4000-8000-000000000001';
    const [sample] = fc.sample(arbitrary.extent, 1);
    if (sample === undefined) throw new Error('no sample');
    const payload = Buffer.concat(
      encodeExtentList(Array.from({ length: 1_000 }, () => ({ ...sample, segmentId }))),
    );
    const skippedBytes = sample.skippedBatches.length * 4;
    expect(payload.length).toBeLessThan(1_000 * (73 + skippedBytes) + 100);
  });
});
