import { randomBytes } from 'node:crypto';
import { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { requestBody } from '../src/s3/request-body.js';

/** Takes no more than a chunk before it asks for a pause, as a request does. */
class Sink extends Writable {
  readonly writes: Buffer[] = [];

  constructor() {
    super({ highWaterMark: 16 * 1024 });
  }

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.writes.push(chunk);
    setImmediate(done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.writes.push(Buffer.concat(chunks.map(({ chunk }) => chunk)));
    setImmediate(done);
  }
}

describe('a request body of chunks', () => {
  it.each([
    [2, 100],
    [100, 1000],
    [128, 64 * 1024],
    [9, 1024 * 1024],
  ])('sends %s of %s bytes, all of them in order', async (count, bytes) => {
    const chunks = Array.from({ length: count }, () => randomBytes(bytes));
    const body = requestBody(chunks);
    if (!(body instanceof Readable)) throw new Error('several chunks are a stream');
    const sink = new Sink();
    body.pipe(sink);
    await finished(sink);
    expect(Buffer.concat(sink.writes).equals(Buffer.concat(chunks))).toBe(true);
  });

  it('gathers small chunks in few writes', async () => {
    const sink = new Sink();
    const body = requestBody(Array.from({ length: 128 }, () => Buffer.alloc(64 * 1024)));
    if (!(body instanceof Readable)) throw new Error('several chunks are a stream');
    body.pipe(sink);
    await finished(sink);
    // 8 turns of 1 MiB. The first chunk of each finds the sink idle; a request waits for the turn's end.
    expect(sink.writes.length).toBeLessThanOrEqual(16);
  });

  it('can be read as any stream', async () => {
    const chunks = [randomBytes(1000), randomBytes(2000)];
    const body = requestBody(chunks);
    if (!(body instanceof Readable)) throw new Error('several chunks are a stream');
    expect(Buffer.concat(await body.toArray()).equals(Buffer.concat(chunks))).toBe(true);
  });
});
