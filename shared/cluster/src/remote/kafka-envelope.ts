import { message, schema } from '@kafscale/codec';
import type { KafkaReply, KafkaRequest } from '../kafka-service.js';
import { checkedInteger, malformed } from './packed-rows.js';

/** What travels with a client's request: a short header, then its body unchanged, uncopied. */
const requestMessage = message({
  name: 'KafkaRequestEnvelope',
  versions: '0',
  flexible: '0+',
  fields: {
    apiKey: schema.int16(),
    apiVersion: schema.int16(),
    clientId: schema.string({ nullable: '0+' }),
    clientHost: schema.string(),
    principal: schema.string(),
    listener: schema.string(),
    connectionId: schema.string(),
    requestNumber: schema.float64(),
    body: schema.bytes(),
  },
});

const replyMessage = message({
  name: 'KafkaReplyEnvelope',
  versions: '0',
  flexible: '0+',
  fields: { kind: schema.int8(), reason: schema.string(), response: schema.bytes() },
});

const replyKinds = { response: 0, none: 1, close: 2 } as const;
const reasonLengthMax = 1_000;

/** The last chunk is a view of `request.body`. */
export function encodeKafkaRequest(request: KafkaRequest): Uint8Array[] {
  return requestMessage.encode(request, 0);
}

/** The body is a view of `payload`. Throws ProtocolError. */
export function decodeKafkaRequest(payload: Buffer): KafkaRequest {
  const request = requestMessage.decode(payload, 0);
  checkedInteger(request.requestNumber);
  return request;
}

export function encodeKafkaReply(reply: KafkaReply): Uint8Array[] {
  const kind = replyKinds[reply.kind];
  switch (reply.kind) {
    case 'response':
      return replyMessage.encode({ kind, response: reply.chunks }, 0);
    case 'close':
      return replyMessage.encode({ kind, reason: reply.reason.slice(0, reasonLengthMax) }, 0);
    case 'none':
      break;
  }
  return replyMessage.encode({ kind }, 0);
}

/** The one chunk of a response is a view of `payload`. Throws ProtocolError. */
export function decodeKafkaReply(payload: Buffer): KafkaReply {
  const { kind, reason, response } = replyMessage.decode(payload, 0);
  switch (kind) {
    case replyKinds.response:
      return { kind: 'response', chunks: [response] };
    case replyKinds.close:
      return { kind: 'close', reason };
    case replyKinds.none:
      return { kind: 'none' };
    default:
      return malformed(`reply kind ${kind}`);
  }
}
