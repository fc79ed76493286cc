import { invariant } from '@kafscale/core';

/**
 * One WebSocket message is one frame: kind (1 byte), reserved (1), method (2), id (4), payload; big
 * endian. `method` is 0 where a frame has none, `id` names the call or stream, 0 where there is none.
 */
export const frameHeaderBytes = 8;

export const frameKind = {
  /** server → client: JSON {@link Challenge} */
  challenge: 1,
  /** client → server: JSON {@link Hello} */
  hello: 2,
  /** server → client: JSON {@link Welcome} */
  welcome: 3,
  /** server → client: JSON {@link Refusal}; the connection closes. */
  refused: 4,
  /** client → server: run `method` */
  call: 5,
  reply: 6,
  /** server → client: JSON {@link RemoteFailure} in place of a reply */
  error: 7,
  /** client → server: the caller is no longer interested in this call or stream */
  cancel: 8,
  /** client → server: open the stream `method` */
  streamOpen: 9,
  streamMessage: 10,
  /** server → client: payload is the reason */
  streamEnd: 11,
  ping: 12,
  pong: 13,
  /** server → client: finish what you have, send nothing new here */
  goodbye: 14,
} as const;

export interface Frame {
  readonly kind: number;
  readonly method: number;
  readonly id: number;
  /** A view of the message. */
  readonly payload: Buffer;
}

export function encodeFrameHeader(kind: number, method: number, id: number): Buffer {
  invariant(method >= 0 && method <= 0xffff, 'a method number has 16 bits');
  const header = Buffer.allocUnsafe(frameHeaderBytes);
  header.writeUInt8(kind, 0);
  header.writeUInt8(0, 1);
  header.writeUInt16BE(method, 2);
  header.writeUInt32BE(id, 4);
  return header;
}

/** Null when the message is too short to be a frame. */
export function parseFrame(message: Buffer): Frame | null {
  if (message.length < frameHeaderBytes) return null;
  return {
    kind: message.readUInt8(0),
    method: message.readUInt16BE(2),
    id: message.readUInt32BE(4),
    payload: message.subarray(frameHeaderBytes),
  };
}

export function byteLengthOf(chunks: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const chunk of chunks) bytes += chunk.byteLength;
  return bytes;
}
