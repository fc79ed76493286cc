import { describe, expect, it } from 'vitest';
import {
  advertisedApis,
  apiByKey,
  apis,
  errorCodes,
  errorName,
  isServed,
} from '../../src/index.js';

describe('the advertised versions', () => {
  // Minima matter as much as maxima: see the comment on `apis`.
  it('are these', () => {
    const table = advertisedApis.map(
      ({ key, name, minVersion, maxVersion }) => `${key} ${name} ${minVersion}-${maxVersion}`,
    );
    expect(table).toEqual([
      '0 Produce 0-12',
      '1 Fetch 4-18',
      '2 ListOffsets 1-9',
      '3 Metadata 0-12',
      '8 OffsetCommit 2-9',
      '9 OffsetFetch 1-9',
      '10 FindCoordinator 0-5',
      '11 JoinGroup 0-9',
      '12 Heartbeat 0-4',
      '13 LeaveGroup 0-5',
      '14 SyncGroup 0-5',
      '15 DescribeGroups 0-6',
      '16 ListGroups 0-5',
      '18 ApiVersions 0-4',
      '19 CreateTopics 2-7',
      '20 DeleteTopics 1-6',
      '21 DeleteRecords 0-2',
      '22 InitProducerId 0-5',
      '23 OffsetForLeaderEpoch 2-4',
      '32 DescribeConfigs 1-4',
      '33 AlterConfigs 0-2',
      '44 IncrementalAlterConfigs 0-1',
      '60 DescribeCluster 0-2',
    ]);
  });

  it('decide what is served', () => {
    expect(isServed(0, 0)).toBe(true);
    expect(isServed(1, 3)).toBe(false);
    expect(isServed(1, 18)).toBe(true);
    expect(isServed(1, 19)).toBe(false);
    expect(isServed(4, 0)).toBe(false);
    expect(isServed(-1, 0)).toBe(false);
    expect(isServed(apis.saslHandshake.key, 1)).toBe(false);
  });

  it('are found by key', () => {
    expect(apiByKey(18)).toBe(apis.apiVersions);
    expect(apiByKey(5)).toBeUndefined();
  });
});

describe('error codes', () => {
  it('run from -1 to 136 without a gap, each once', () => {
    const codes = Object.values(errorCodes).toSorted((left, right) => left - right);
    expect(codes).toEqual(Array.from({ length: 138 }, (_, index) => index - 1));
  });

  it('have names', () => {
    expect(errorCodes.OUT_OF_ORDER_SEQUENCE_NUMBER).toBe(45);
    expect(errorName(-1)).toBe('UNKNOWN_SERVER_ERROR');
    expect(errorName(0)).toBe('NONE');
    expect(errorName(79)).toBe('MEMBER_ID_REQUIRED');
    expect(errorName(999)).toBe('ERROR_999');
  });
});
