import { encodeRequestHeader } from '@kafscale/codec';
import type { Api, Encodable, Fields, Message } from '@kafscale/codec';

export interface FrameOptions<Request extends Fields> {
  readonly api: Api<Request>;
  readonly version: number;
  readonly correlationId: number;
  readonly request: Encodable<Message<Request>>;
}

/** A whole request as it goes over the wire, its length in front, in one buffer of its own. */
export function requestFrame<Request extends Fields>(options: FrameOptions<Request>): Buffer {
  const { api, version, correlationId, request } = options;
  const chunks = [
    Buffer.alloc(4),
    ...encodeRequestHeader({
      apiKey: api.key,
      apiVersion: version,
      correlationId,
      clientId: 'kafscale-raw',
    }),
    ...api.request.encode(request, version),
  ];
  const frame = Buffer.concat(chunks);
  frame.writeInt32BE(frame.length - 4, 0);
  return frame;
}
