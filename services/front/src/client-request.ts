import type { KafkaReply, KafkaRequest } from '@kafscale/cluster';
import {
  apiByKey,
  apis,
  encodeResponseHeader,
  isServed,
  parseRequestHeader,
  peekRequestPrefix,
} from '@kafscale/codec';
import { invariant, isOperatingError } from '@kafscale/core';
import type { PooledMemory } from '@kafscale/core';

import { answerApiVersions, unsupportedApiVersionsReply } from './api-versions.js';
import type { CloseReason } from './close-reason.js';
import type { PipelinedRequest } from './request-pipeline.js';

/** A request of a client, from its frame until its response. */
export interface ClientRequest extends PipelinedRequest {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
  readonly clientId: string | null;
  /** Position on its connection, from 0. */
  readonly requestNumber: number;
  readonly receivedMs: number;
  /** The memory of the request; null once nobody needs it any more. */
  frame: PooledMemory | null;
  /** Of the frame: what it takes of the byte budgets. */
  readonly frameBytes: number;
  /** What a service is to handle; null once nobody needs it any more. */
  body: Buffer | null;
  /** The front's own answer; null when a service is to answer. */
  readonly reply: KafkaReply | null;
}

/** Why a frame is no request that can be answered. */
export interface RequestRefusal {
  readonly refused: CloseReason;
  readonly message: string;
}

export interface ReceivedFrame {
  readonly frame: PooledMemory;
  readonly requestNumber: number;
  readonly receivedMs: number;
}

const produceKey = apis.produce.key;
const apiVersionsKey = apis.apiVersions.key;

/** Reads the header and decides who answers. Never throws. */
export function readClientRequest(received: ReceivedFrame): ClientRequest | RequestRefusal {
  const { apiKey, apiVersion, correlationId } = peekRequestPrefix(received.frame.bytes);
  const api = apiByKey(apiKey);
  if (api?.advertised !== true) {
    const name = api === undefined ? '' : ` (${api.name})`;
    const message = `API key ${apiKey}${name} is not served, asked for in version ${apiVersion}`;
    return { refused: 'unknown_api', message };
  }
  if (!isServed(apiKey, apiVersion)) {
    if (apiKey === apiVersionsKey) return unsupportedApiVersions(received, correlationId);
    const served = `${api.minVersion} to ${api.maxVersion}`;
    const message = `${api.name} version ${apiVersion} is not served, only ${served}`;
    return { refused: 'unsupported_version', message };
  }
  try {
    return parseServed(received);
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    const message = `malformed ${api.name} request, version ${apiVersion}: ${error.message}`;
    return { refused: 'malformed', message };
  }
}

function parseServed({ frame, requestNumber, receivedMs }: ReceivedFrame): ClientRequest {
  const { apiKey, apiVersion, correlationId, clientId, bodyOffset } = parseRequestHeader(
    frame.bytes,
  );
  const body = frame.bytes.subarray(bodyOffset);
  return {
    concurrent: apiKey === produceKey,
    apiKey,
    apiVersion,
    correlationId,
    clientId,
    requestNumber,
    receivedMs,
    frame,
    frameBytes: frame.bytes.length,
    body,
    reply: apiKey === apiVersionsKey ? answerApiVersions(apiVersion, body) : null,
  };
}

/** Only the prefix is parsed: the version may be one that changed the header. */
function unsupportedApiVersions(received: ReceivedFrame, correlationId: number): ClientRequest {
  return {
    concurrent: false,
    apiKey: apiVersionsKey,
    apiVersion: 0,
    correlationId,
    clientId: null,
    requestNumber: received.requestNumber,
    receivedMs: received.receivedMs,
    frame: received.frame,
    frameBytes: received.frame.bytes.length,
    body: null,
    reply: unsupportedApiVersionsReply,
  };
}

/** Everything of a response that comes before its body: length, response header. */
export function responseHead(request: ClientRequest, bodyBytes: number): Buffer {
  const header = encodeResponseHeader(request.apiKey, request.apiVersion, request.correlationId);
  const head = Buffer.allocUnsafe(4 + header.length);
  head.writeInt32BE(header.length + bodyBytes, 0);
  head.set(header, 4);
  return head;
}

/** What the connection knows about its client. */
export interface ClientIdentity {
  readonly connectionId: string;
  readonly clientHost: string;
  readonly principal: string;
  readonly listener: string;
}

export function toKafkaRequest(request: ClientRequest, identity: ClientIdentity): KafkaRequest {
  invariant(request.body && request.frame, 'a request has its body until it is released');
  return {
    apiKey: request.apiKey,
    apiVersion: request.apiVersion,
    clientId: request.clientId,
    clientHost: identity.clientHost,
    principal: identity.principal,
    listener: identity.listener,
    connectionId: identity.connectionId,
    requestNumber: request.requestNumber,
    body: request.body,
    memory: request.frame,
  };
}
