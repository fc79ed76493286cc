import { limits } from '@kafscale/core';
import { describe, expect, it } from 'vitest';
import {
  apiVersionsRequest,
  apiVersionsResponse,
  deleteTopicsRequest,
  fetchRequest,
  fetchResponse,
  findCoordinatorRequest,
  heartbeatRequest,
  metadataRequest,
  metadataResponse,
  offsetFetchRequest,
  ProtocolError,
  produceRequest,
  produceResponse,
  Reader,
  syncGroupResponse,
  Writer,
  zeroUuid,
} from '../../src/index.js';
import { encoded, internalMessage } from './support/messages.js';

/** Written by hand from the protocol guide: spaces and newlines separate fields. */
function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  return undefined;
}

const malformed = 'MALFORMED_MESSAGE';

describe('null and empty', () => {
  it('tells null from empty in classic arrays: Metadata v1', () => {
    expect(metadataRequest.decode(hex('ffffffff'), 1).topics).toBeNull();
    expect(metadataRequest.decode(hex('00000000'), 1).topics).toEqual([]);
    expect(encoded(metadataRequest, { topics: null }, 1)).toEqual(hex('ffffffff'));
  });

  it('has no null topics in Metadata v0', () => {
    expect(codeOf(() => metadataRequest.decode(hex('ffffffff'), 0))).toBe(malformed);
    expect(codeOf(() => metadataRequest.encode({ topics: null }, 0))).toBe('UNENCODABLE_MESSAGE');
  });

  it('writes compact lengths as n + 1: Metadata v9', () => {
    // topics [ "ab" ], allowAutoTopicCreation, 2 x authorized operations, no tags
    const bytes = hex('02 036162 00 01 00 00 00');
    const value = { topics: [{ name: 'ab' }], allowAutoTopicCreation: true };
    expect(encoded(metadataRequest, value, 9)).toEqual(bytes);
    expect(metadataRequest.decode(bytes, 9).topics?.[0]?.name).toBe('ab');
    expect(metadataRequest.decode(hex('00 01 00 00 00'), 9).topics).toBeNull();
    expect(metadataRequest.decode(hex('01 01 00 00 00'), 9).topics).toEqual([]);
  });

  it('refuses a compact null where null is not allowed: FindCoordinator v4', () => {
    expect(codeOf(() => findCoordinatorRequest.decode(hex('00 00 00'), 4))).toBe(malformed);
    expect(findCoordinatorRequest.decode(hex('00 01 00'), 4).coordinatorKeys).toEqual([]);
    expect(encoded(findCoordinatorRequest, {}, 4)).toEqual(hex('00 01 00'));
  });

  it('refuses null strings and null bytes where they are not allowed', () => {
    expect(codeOf(() => heartbeatRequest.decode(hex('ffff 00000001 0000'), 0))).toBe(malformed);
    expect(codeOf(() => syncGroupResponse.decode(hex('0000 ffffffff'), 0))).toBe(malformed);
  });

  it('makes null topics of OffsetFetch mean all topics from v2 on', () => {
    expect(offsetFetchRequest.decode(hex('0001 67 ffffffff'), 2).topics).toBeNull();
    expect(codeOf(() => offsetFetchRequest.decode(hex('0001 67 ffffffff'), 1))).toBe(malformed);
  });

  it('refuses lengths below -1', () => {
    expect(codeOf(() => metadataRequest.decode(hex('fffffffe'), 1))).toBe(malformed);
    expect(codeOf(() => produceRequest.decode(hex('fffe ffff 0000 00000000'), 3))).toBe(malformed);
  });
});

describe('nullable structs', () => {
  const always = 'bff0000000000000 ffff';

  it('are one byte, -1 or 1, in classic versions', () => {
    expect(encoded(internalMessage, { always: { ratio: -1, port: 65_535 } }, 0)).toEqual(
      hex(`ff ${always}`),
    );
    const value = { cursor: { topic: 'a', partition: 7 }, always: { ratio: -1, port: 65_535 } };
    expect(encoded(internalMessage, value, 0)).toEqual(hex(`01 0001 61 00000007 ${always}`));
  });

  it('are one byte, and no length, in flexible versions', () => {
    // Version 1: `late` is not nullable yet, so it has no such byte.
    const bytes = hex(`01 0261 00000007 00 ${always} 00 01 00 00`);
    const value = { cursor: { topic: 'a', partition: 7 }, always: { ratio: -1, port: 65_535 } };
    expect(encoded(internalMessage, value, 1)).toEqual(bytes);
    expect(internalMessage.decode(bytes, 1)).toMatchObject({ ...value, late: { ids: [] } });
  });

  it('can be null in one version and not in another', () => {
    expect(codeOf(() => internalMessage.encode({ late: null }, 1))).toBe('UNENCODABLE_MESSAGE');
    const bytes = encoded(internalMessage, { late: null }, 2);
    expect(internalMessage.decode(bytes, 2).late).toBeNull();
  });
});

describe('tagged fields', () => {
  it('are left out when they have their default', () => {
    const value = { replicaState: { replicaId: -1 }, clusterId: null };
    const bytes = encoded(fetchRequest, value, 15);
    expect(bytes.at(-1)).toBe(0);
    expect(fetchRequest.decode(bytes, 15).replicaState).toEqual({
      replicaId: -1,
      replicaEpoch: -1n,
    });
  });

  it('are sorted by tag, each with its size', () => {
    const bytes = encoded(
      internalMessage,
      { pieces: Buffer.of(1, 2), tagged: { flag: true }, heads: [{ offset: 1n }] },
      2,
    );
    const tail = hex('03  00 03 030102  05 03 010100  ac02 0a 02 0000000000000001 00');
    expect(bytes.subarray(-tail.length)).toEqual(tail);
  });

  it('are skipped when unknown, in any order', () => {
    // ApiVersions v3: name "a", version "b", tag 9 with 2 bytes, tag 200 with none
    const bytes = hex('0261 0262 02  09 02 abcd  c801 00');
    expect(apiVersionsRequest.decode(bytes, 3)).toEqual({
      clientSoftwareName: 'a',
      clientSoftwareVersion: 'b',
    });
  });

  it('are read in any order: FetchResponse v12 current leader before diverging epoch', () => {
    const partition =
      '00000000 0000 0000000000000005 0000000000000005 0000000000000000 01 ffffffff 01';
    const leader = '01 09 00000003 00000004 00';
    const diverging = '00 0d 00000002 0000000000000009 00';
    const bytes = hex(
      `00000000 0000 00000000 02 0274 02 ${partition} 02 ${leader} ${diverging} 00 00`,
    );
    const decoded = fetchResponse.decode(bytes, 12).responses[0]?.partitions[0];
    expect(decoded?.currentLeader).toEqual({ leaderId: 3, leaderEpoch: 4 });
    expect(decoded?.divergingEpoch).toEqual({ epoch: 2, endOffset: 9n });
    const canonical = hex(
      `00000000 0000 00000000 02 0274 02 ${partition} 02 ${diverging} ${leader} 00 00`,
    );
    expect(encoded(fetchResponse, fetchResponse.decode(bytes, 12), 12)).toEqual(canonical);
  });

  it('must fill their size exactly', () => {
    // finalizedFeaturesEpoch is tag 1 of ApiVersionsResponse, 8 bytes
    const head = '0000 01 00000000 01';
    const epoch = '0000000000000007';
    expect(
      apiVersionsResponse.decode(hex(`${head} 01 08 ${epoch}`), 3).finalizedFeaturesEpoch,
    ).toBe(7n);
    expect(codeOf(() => apiVersionsResponse.decode(hex(`${head} 01 09 ${epoch} 00`), 3))).toBe(
      malformed,
    );
    expect(codeOf(() => apiVersionsResponse.decode(hex(`${head} 01 07 ${epoch}`), 3))).toBe(
      malformed,
    );
  });

  it('are bounded in number', () => {
    const count = limits.taggedFieldsMax + 1;
    const tags = Array.from({ length: count }, () => '7f 00').join('');
    const bytes = hex(`01 01 ${count.toString(16)} ${tags}`);
    expect(codeOf(() => apiVersionsRequest.decode(bytes, 3))).toBe(malformed);
  });
});

describe('the place of throttleTimeMs', () => {
  it('is behind the payload in Produce, before the tags', () => {
    expect(encoded(produceResponse, { throttleTimeMs: 1 }, 9)).toEqual(hex('01 00000001 00'));
    const value = {
      throttleTimeMs: 1,
      nodeEndpoints: [{ nodeId: 1, host: 'h', port: 2, rack: null }],
    };
    expect(encoded(produceResponse, value, 10)).toEqual(
      hex('01 00000001 01 00 0d 02 00000001 0268 00000002 00 00'),
    );
  });

  it('is behind the payload in ApiVersions and does not exist in v0', () => {
    const value = { apiKeys: [{ apiKey: 18, minVersion: 0, maxVersion: 4 }], throttleTimeMs: 9 };
    expect(encoded(apiVersionsResponse, value, 0)).toEqual(hex('0000 00000001 0012 0000 0004'));
    expect(encoded(apiVersionsResponse, value, 1)).toEqual(
      hex('0000 00000001 0012 0000 0004 00000009'),
    );
  });
});

describe('Produce before version 3', () => {
  it('has no transactional id and decodes, so that it can be refused', () => {
    const bytes = hex('0001 000003e8 00000001 0001 74 00000001 00000000 00000003 aabbcc');
    for (const version of [0, 1, 2]) {
      const request = produceRequest.decode(bytes, version);
      expect(request).toEqual({
        transactionalId: null,
        acks: 1,
        timeoutMs: 1000,
        topicData: [
          {
            name: 't',
            topicId: zeroUuid,
            partitionData: [{ index: 0, records: Buffer.from('aabbcc', 'hex') }],
          },
        ],
      });
    }
  });

  it('answers with the fields of its version', () => {
    const responses = [
      { name: 't', partitionResponses: [{ index: 1, errorCode: 43, baseOffset: -1n }] },
    ];
    const v0 = '00000001 0001 74 00000001 00000001 002b ffffffffffffffff';
    expect(encoded(produceResponse, { responses }, 0)).toEqual(hex(v0));
    expect(encoded(produceResponse, { responses }, 1)).toEqual(hex(`${v0} 00000000`));
    expect(encoded(produceResponse, { responses }, 2)).toEqual(
      hex(`${v0} ffffffffffffffff 00000000`),
    );
  });
});

describe('uuids', () => {
  it('are 16 raw bytes', () => {
    const topicId = '0123abcd-4567-89ab-cdef-0123456789ab';
    const value = { topics: [{ name: null, topicId }], timeoutMs: 1 };
    const bytes = hex('02 00 0123abcd456789abcdef0123456789ab 00 00000001 00');
    expect(encoded(deleteTopicsRequest, value, 6)).toEqual(bytes);
    expect(deleteTopicsRequest.decode(bytes, 6).topics).toEqual([{ name: null, topicId }]);
  });

  it.each(['', 'x', zeroUuid.replaceAll('-', ''), zeroUuid.replace('0', 'g'), `${zeroUuid}00`])(
    'refuses %j',
    (topicId) => {
      expect(codeOf(() => deleteTopicsRequest.encode({ topics: [{ topicId }] }, 6))).toBe(
        'UNENCODABLE_MESSAGE',
      );
    },
  );
});

describe('limits before allocation', () => {
  it('checks an array count against the bytes that are left', () => {
    // 0x00ffffff topics in 8 bytes
    const bytes = hex('00ffffff 0000000000000000');
    expect(codeOf(() => metadataRequest.decode(bytes, 1))).toBe(malformed);
  });

  it('bounds the elements of all arrays of a message together', () => {
    const elements = limits.arrayElementsMax / 2 + 1;
    const partitions = (index: number): Buffer => {
      const array = Buffer.alloc(7 + elements * 4);
      array.writeInt16BE(1, 0);
      array.write(String(index), 2);
      array.writeInt32BE(elements, 3);
      return array;
    };
    const bytes = Buffer.concat([hex('0001 67 00000002'), partitions(1), partitions(2)]);
    expect(codeOf(() => offsetFetchRequest.decode(bytes, 1))).toBe(malformed);
    const one = Buffer.concat([hex('0001 67 00000001'), partitions(1)]);
    expect(offsetFetchRequest.decode(one, 1).topics?.[0]?.partitionIndexes).toHaveLength(elements);
  });

  it('checks string and byte lengths against the bytes that are left', () => {
    expect(codeOf(() => heartbeatRequest.decode(hex('7fff 00'), 0))).toBe(malformed);
    expect(codeOf(() => syncGroupResponse.decode(hex('0000 7fffffff 00'), 0))).toBe(malformed);
    expect(codeOf(() => syncGroupResponse.decode(hex('00000000 0000 ffffffff0f 00'), 4))).toBe(
      malformed,
    );
  });

  it('takes compact strings of at most 32,767 bytes, as Kafka does', () => {
    const request = (length: number): Buffer =>
      encoded(apiVersionsRequest, { clientSoftwareName: 'x'.repeat(length) }, 3);
    expect(apiVersionsRequest.decode(request(32_767), 3).clientSoftwareName).toHaveLength(32_767);
    expect(codeOf(() => request(32_768))).toBe('UNENCODABLE_MESSAGE');
    const longer = Buffer.concat([hex('818002'), Buffer.alloc(32_768, 'x'), hex('01 00')]);
    expect(codeOf(() => apiVersionsRequest.decode(longer, 3))).toBe(malformed);
  });

  it('reads no variable-length integer beyond 5 bytes or 32 bits', () => {
    expect(new Reader(hex('ffffffff0f')).readUnsignedVarint()).toBe(0xffffffff);
    expect(new Reader(hex('8080808000')).readUnsignedVarint()).toBe(0);
    expect(codeOf(() => new Reader(hex('ffffffff1f')).readUnsignedVarint())).toBe(malformed);
    expect(codeOf(() => new Reader(hex('ffffffffff01')).readUnsignedVarint())).toBe(malformed);
  });
});

describe('the reader', () => {
  it('is dead after an error, also for reads that would fit', () => {
    const reader = new Reader(hex('0001 6162'));
    expect(codeOf(() => reader.readInt64())).toBe(malformed);
    expect(codeOf(() => reader.readInt16())).toBe(malformed);
    expect(codeOf(() => reader.readView(0))).toBe(malformed);
    expect(codeOf(() => reader.expectEnd())).toBe(malformed);
  });

  it('gives views, not copies, of bytes', () => {
    const frame = hex('0000 00000003 aabbcc');
    const { assignment } = syncGroupResponse.decode(frame, 0);
    frame[6] = 0x11;
    expect(assignment).toEqual(Buffer.of(0x11, 0xbb, 0xcc));
  });

  it('replaces invalid UTF-8', () => {
    expect(heartbeatRequest.decode(hex('0001 ff 00000000 0000'), 0).groupId).toBe('\uFFFD');
  });
});

describe('the writer', () => {
  it('passes large byte fields on by reference and never copies them', () => {
    const large = [Buffer.alloc(5000, 1), Buffer.alloc(1024, 2)];
    const records = [...large, Buffer.of(3)];
    const responses = [{ partitions: [{ partitionIndex: 1, records }] }];
    const chunks = fetchResponse.encode({ responses }, 4);
    for (const piece of large) expect(chunks).toContain(piece);
    const decoded = fetchResponse.decode(Buffer.concat(chunks), 4);
    expect(decoded.responses[0]?.partitions[0]?.records).toEqual(Buffer.concat(records));
  });

  it('goes on over many chunks', () => {
    const topics = Array.from({ length: 20_000 }, (_, index) => ({ name: `topic-${index}` }));
    const decoded = metadataRequest.decode(encoded(metadataRequest, { topics }, 12), 12);
    expect(decoded.topics?.map(({ name }) => name)).toEqual(topics.map(({ name }) => name));
  });

  it('refuses numbers out of range', () => {
    const writer = new Writer();
    const code = 'UNENCODABLE_MESSAGE';
    expect(codeOf(() => writer.writeInt8(128))).toBe(code);
    expect(codeOf(() => writer.writeInt16(-32_769))).toBe(code);
    expect(codeOf(() => writer.writeUint16(-1))).toBe(code);
    expect(codeOf(() => writer.writeInt32(0.5))).toBe(code);
    expect(codeOf(() => writer.writeInt32(Number.NaN))).toBe(code);
    expect(codeOf(() => writer.writeInt64(2n ** 63n))).toBe(code);
  });
});

describe('versions', () => {
  it('refuses a version that is not declared', () => {
    expect(codeOf(() => metadataResponse.decode(Buffer.alloc(0), 14))).toBe(
      'UNSUPPORTED_MESSAGE_VERSION',
    );
    expect(codeOf(() => fetchRequest.encode({}, 3))).toBe('UNSUPPORTED_MESSAGE_VERSION');
  });

  it('ignores on encode what the version does not have', () => {
    expect(encoded(heartbeatRequest, { groupInstanceId: 'i' }, 0)).toEqual(
      encoded(heartbeatRequest, {}, 0),
    );
  });
});
