import { describe, expect, it } from 'vitest';
import {
  apiByKey,
  apis,
  encodeRequestHeader,
  encodeResponseHeader,
  parseRequestHeader,
  parseResponseHeader,
  peekRequestPrefix,
  ProtocolError,
} from '../../src/index.js';

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
}

describe('request headers', () => {
  it('v1: Metadata v1 with a client id', () => {
    expect(parseRequestHeader(hex('0003 0001 00000007 0002 6162 ffffffff'))).toEqual({
      apiKey: 3,
      apiVersion: 1,
      correlationId: 7,
      clientId: 'ab',
      bodyOffset: 12,
    });
  });

  it('v1: a null and an empty client id', () => {
    expect(parseRequestHeader(hex('0003 0001 00000007 ffff'))).toMatchObject({
      clientId: null,
      bodyOffset: 10,
    });
    expect(parseRequestHeader(hex('0003 0001 00000007 0000'))).toMatchObject({ clientId: '' });
  });

  it('v2: the client id is still a classic string, tags follow', () => {
    expect(parseRequestHeader(hex('0003 0009 00000007 0002 6162 00 01'))).toMatchObject({
      clientId: 'ab',
      bodyOffset: 13,
    });
    expect(parseRequestHeader(hex('0003 0009 00000007 ffff 01 05 02 aabb 01'))).toMatchObject({
      clientId: null,
      bodyOffset: 15,
    });
  });

  it('reads the header of an ApiVersions request that is too new', () => {
    const frame = hex('0012 0005 7fffffff 0001 61 00 ffffff');
    expect(parseRequestHeader(frame)).toMatchObject({ apiVersion: 5, correlationId: 0x7fffffff });
    expect(peekRequestPrefix(frame)).toEqual({
      apiKey: 18,
      apiVersion: 5,
      correlationId: 0x7fffffff,
    });
  });

  it('peeks at any frame of 8 bytes, garbage too', () => {
    expect(peekRequestPrefix(Buffer.from('GET / HT'))).toEqual({
      apiKey: 0x4745,
      apiVersion: 0x5420,
      correlationId: 0x2f204854,
    });
    expect(() => peekRequestPrefix(Buffer.alloc(7))).toThrow(ProtocolError);
  });

  it('refuses unknown keys and truncated headers', () => {
    expect(() => parseRequestHeader(hex('7fff 0000 00000000 ffff'))).toThrow(ProtocolError);
    expect(() => parseRequestHeader(hex('ffff 0000 00000000 ffff'))).toThrow(ProtocolError);
    expect(() => parseRequestHeader(hex('0003 0001 00000007'))).toThrow(ProtocolError);
    expect(() => parseRequestHeader(hex('0003 0001 00000007 fffe'))).toThrow(ProtocolError);
    expect(() => parseRequestHeader(hex('0003 0001 00000007 0003 6162'))).toThrow(ProtocolError);
    expect(() => parseRequestHeader(hex('0003 0009 00000007 ffff'))).toThrow(ProtocolError);
  });

  it('parses what it encodes, for every API at every version', () => {
    for (const { key: apiKey, minVersion, maxVersion } of Object.values(apis)) {
      for (let apiVersion = minVersion; apiVersion <= maxVersion; apiVersion += 1) {
        const header = { apiKey, apiVersion, correlationId: -5, clientId: 'client' };
        const frame = Buffer.concat(encodeRequestHeader(header));
        expect(parseRequestHeader(frame)).toEqual({ ...header, bodyOffset: frame.length });
      }
    }
  });
});

describe('response headers', () => {
  it.each([
    { name: 'Metadata v8, classic', key: 3, version: 8, bytes: '00000102' },
    { name: 'Metadata v9, flexible', key: 3, version: 9, bytes: '00000102 00' },
    { name: 'ApiVersions v3, always v0', key: 18, version: 3, bytes: '00000102' },
    { name: 'SaslHandshake v1, never flexible', key: 17, version: 1, bytes: '00000102' },
    { name: 'DescribeCluster v0, flexible from v0', key: 60, version: 0, bytes: '00000102 00' },
  ])('$name', ({ key, version, bytes }) => {
    const header = encodeResponseHeader(key, version, 0x102);
    expect(header).toEqual(hex(bytes));
    expect(parseResponseHeader(header, key, version)).toEqual({
      correlationId: 0x102,
      bodyOffset: header.length,
    });
  });

  it('exist for declared APIs only', () => {
    expect(apiByKey(4)).toBeUndefined();
    expect(() => encodeResponseHeader(4, 0, 0)).toThrow(ProtocolError);
  });
});
