import { addAbortSignal, Readable } from 'node:stream';
import { invariant } from '@kafscale/core';
import type { ReadOptions } from '../object-store.js';
import { TruncatedBodyError } from './s3-errors.js';

export interface BodyOptions extends ReadOptions {
  /** That the server has announced: those behind `length` are passed over. */
  readonly announcedLength?: number | undefined;
}

/**
 * Reads the first `length` bytes of a body of exactly the length that was announced, by default just
 * those; TruncatedBodyError if it is shorter or longer.
 *
 * By events: iterating over a stream joins what has come since, in memory of its own.
 */
export function readBody(
  body: unknown,
  length: number,
  { announcedLength = length, into, signal }: BodyOptions = {},
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (!(body instanceof Readable)) throw new TruncatedBodyError('the answer has no body');
    const bytes = into ?? Buffer.allocUnsafeSlow(length);
    invariant(bytes.length === length, 'the memory has the length of the read');
    let received = 0;
    if (signal) addAbortSignal(signal, body);
    body.on('data', (chunk: Buffer) => {
      // No more than there is room for.
      chunk.copy(bytes, received);
      received += chunk.length;
      if (received > announcedLength) {
        body.destroy(new TruncatedBodyError('body longer than announced'));
      }
    });
    const end = (): void => {
      if (received === announcedLength) return resolve(bytes);
      reject(new TruncatedBodyError(`body ends at ${received} of ${announcedLength} bytes`));
    };
    body.once('error', reject);
    body.once('end', end);
    // After an end or an error it says nothing new; alone, that the body was given up.
    body.once('close', end);
  });
}

/** Gives up on a body that nobody wants, so that its socket is freed. */
export function discardBody(body: unknown): void {
  if (body instanceof Readable) body.destroy();
}
