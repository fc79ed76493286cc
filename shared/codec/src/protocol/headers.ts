import { apiByKey } from './apis.js';
import { ProtocolError } from './errors.js';
import type { AnyMessage } from './message.js';
import { Reader } from './reader.js';
import { Writer } from './writer.js';

/** A frame, here and below, is what follows the 4 bytes of its length. */
export interface RequestPrefix {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
}

export interface RequestHeader extends RequestPrefix {
  readonly clientId: string | null;
  /** Where the request's body starts in the frame. */
  readonly bodyOffset: number;
}

export interface ResponseHeader {
  readonly correlationId: number;
  readonly bodyOffset: number;
}

const prefixBytes = 8;

/**
 * The part of a request header that is the same in every version, so that the caller can decide
 * what to do about an unknown API or version before it parses more. Throws ProtocolError if the
 * frame has less than 8 bytes.
 */
export function peekRequestPrefix(frame: Buffer): RequestPrefix {
  if (frame.length < prefixBytes) {
    throw new ProtocolError('MALFORMED_MESSAGE', `a request of ${frame.length} bytes`);
  }
  return {
    apiKey: frame.readInt16BE(0),
    apiVersion: frame.readInt16BE(2),
    correlationId: frame.readInt32BE(4),
  };
}

/**
 * Parses the header of a request to an API that we know, in any version from its first on, also one
 * that is too new to have a body we can parse: the answer to such an ApiVersions request needs the
 * correlation id. Header v1 in classic versions, v2 (tagged fields) in flexible ones; header v0
 * ended with ControlledShutdown v0. The client id is a classic string in both.
 */
export function parseRequestHeader(frame: Buffer): RequestHeader {
  const { apiKey, apiVersion, correlationId } = peekRequestPrefix(frame);
  const api = apiByKey(apiKey);
  if (!api) throw new ProtocolError('UNSUPPORTED_MESSAGE_VERSION', `unknown API key ${apiKey}`);
  const reader = new Reader(frame, prefixBytes);
  const length = reader.readStringLength(false);
  const clientId = length < 0 ? null : reader.readUtf8(length);
  if (isFlexible(api.request, apiVersion)) reader.skipTaggedFields();
  return { apiKey, apiVersion, correlationId, clientId, bodyOffset: reader.position };
}

/** The header in front of a response body: v0, or v1 in flexible versions except ApiVersions'. */
export function encodeResponseHeader(
  apiKey: number,
  apiVersion: number,
  correlationId: number,
): Buffer {
  const header = Buffer.allocUnsafe(responseHeaderBytes(apiKey, apiVersion));
  header.writeInt32BE(correlationId, 0);
  if (header.length > 4) header[4] = 0;
  return header;
}

/** For clients: the header in front of a request body. */
export function encodeRequestHeader(header: Omit<RequestHeader, 'bodyOffset'>): Uint8Array[] {
  const api = apiByKey(header.apiKey);
  if (!api) throw new ProtocolError('UNSUPPORTED_MESSAGE_VERSION', `API key ${header.apiKey}`);
  const writer = new Writer();
  writer.writeInt16(header.apiKey);
  writer.writeInt16(header.apiVersion);
  writer.writeInt32(header.correlationId);
  if (header.clientId === null) writer.writeNullString(false);
  else writer.writeString(header.clientId, false);
  if (isFlexible(api.request, header.apiVersion)) writer.writeUnsignedVarint(0);
  return writer.finish();
}

/** For clients: the header of the response to a request of that API and version. */
export function parseResponseHeader(
  frame: Buffer,
  apiKey: number,
  apiVersion: number,
): ResponseHeader {
  const reader = new Reader(frame);
  const correlationId = reader.readInt32();
  if (responseHeaderBytes(apiKey, apiVersion) > 4) reader.skipTaggedFields();
  return { correlationId, bodyOffset: reader.position };
}

const apiVersionsKey = 18;

/**
 * ApiVersions is always answered with header v0, whatever its version: a client that asks in a
 * version unknown to the server must be able to read the refusal (KIP-511).
 */
function responseHeaderBytes(apiKey: number, apiVersion: number): number {
  const api = apiByKey(apiKey);
  if (!api) throw new ProtocolError('UNSUPPORTED_MESSAGE_VERSION', `unknown API key ${apiKey}`);
  return apiKey !== apiVersionsKey && isFlexible(api.response, apiVersion) ? 5 : 4;
}

function isFlexible({ flexibleSince }: AnyMessage, version: number): boolean {
  return flexibleSince !== null && version >= flexibleSince;
}
