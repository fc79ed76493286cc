import type { KafkaReply, KafkaRequest } from '@kafscale/cluster';
import { isOperatingError } from '@kafscale/core';

/** What a handler may know of the request beside its body. */
export interface RequestContext {
  readonly apiVersion: number;
  readonly clientId: string | null;
  readonly clientHost: string;
  readonly principal: string;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
}

/** An API as the dispatcher sees it: bytes in, bytes out. */
export interface KafkaApi {
  readonly apiKey: number;
  readonly versionMin: number;
  readonly versionMax: number;
  answer(body: Buffer, context: RequestContext): Promise<readonly Uint8Array[]>;
}

interface RequestMessage<Request> {
  readonly apiKey: number;
  readonly minVersion: number;
  readonly maxVersion: number;
  decode(body: Buffer, version: number): Request;
}

interface ResponseMessage<Response> {
  encode(value: Response, version: number): Uint8Array[];
}

/** Joins the messages of an API with the function that answers it. */
export function kafkaApi<Request, Response>(
  request: RequestMessage<Request>,
  response: ResponseMessage<Response>,
  handle: (request: Request, context: RequestContext) => Response | Promise<Response>,
): KafkaApi {
  return {
    apiKey: request.apiKey,
    versionMin: request.minVersion,
    versionMax: request.maxVersion,
    async answer(body, context) {
      const answer = await handle(request.decode(body, context.apiVersion), context);
      return response.encode(answer, context.apiVersion);
    },
  };
}

/** Finds the API, decodes, answers. What has no Kafka error closes the connection. */
export async function dispatch(
  apis: ReadonlyMap<number, KafkaApi>,
  request: KafkaRequest,
  signal: AbortSignal,
): Promise<KafkaReply> {
  const { apiKey, apiVersion, body, clientHost, clientId, principal } = request;
  const api = apis.get(apiKey);
  if (api === undefined || apiVersion < api.versionMin || apiVersion > api.versionMax) {
    return { kind: 'close', reason: `API ${apiKey} version ${apiVersion} is not served here` };
  }
  try {
    const context = { apiVersion, clientHost, clientId, principal, signal };
    return { kind: 'response', chunks: await api.answer(body, context) };
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    return { kind: 'close', reason: `API ${apiKey}: ${error.code}: ${error.message}` };
  }
}
