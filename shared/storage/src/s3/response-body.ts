import { addAbortSignal, Readable } from 'node:stream';
import type { ReadOptions } from '../object-store.js';
import { TruncatedBodyError } from './s3-errors.js';

/** Reads a body of exactly `length` bytes; TruncatedBodyError if it is shorter or longer. */
export async function readBody(
  body: unknown,
  length: number,
  { into, signal }: ReadOptions = {},
): Promise<Buffer> {
  if (!(body instanceof Readable)) throw new TruncatedBodyError('the answer has no body');
  const bytes = into ?? Buffer.allocUnsafeSlow(length);
  let filled = 0;
  if (signal) addAbortSignal(signal, body);
  for await (const chunk of body as AsyncIterable<Buffer>) {
    // Leaving the loop destroys the stream, and its connection with it.
    if (filled + chunk.length > length) throw new TruncatedBodyError('body longer than announced');
    filled += chunk.copy(bytes, filled);
  }
  if (filled < length) throw new TruncatedBodyError(`body ends at ${filled} of ${length} bytes`);
  return bytes;
}

/** Gives up on a body that nobody wants, so that its socket is freed. */
export function discardBody(body: unknown): void {
  if (body instanceof Readable) body.destroy();
}
