import { ByteBudget, limits, systemClock } from '@kafscale/core';
import type { PooledMemory } from '@kafscale/core';
import { describe, expect, it } from 'vitest';

import { FrameMemory } from '../src/frame-memory.js';
import { defaultFrontLimits } from '../src/front-limits.js';
import { RequestReader } from '../src/request-reader.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const lengthPrefixBytes = 4;

/** A client that always has more to send than is read, in frames of one size. */
class EagerClient {
  readonly reader: RequestReader;
  readonly frames: PooledMemory[] = [];
  readBytes = 0;
  reads = 0;
  isPaused = false;
  readonly #stream: Buffer;

  constructor(frameBytes: number, budgetBytes: number) {
    const frame = Buffer.alloc(lengthPrefixBytes + frameBytes);
    frame.writeInt32BE(frameBytes);
    const count = Math.ceil((4 * limits.socketReadBytes) / frame.length) + 1;
    this.#stream = Buffer.concat(Array.from({ length: count }, () => frame));
    this.reader = new RequestReader({
      budgets: {
        requests: new ByteBudget(budgetBytes),
        assembly: new ByteBudget(budgetBytes),
        frames: new FrameMemory({ idleBytesMax: 32 * MiB, bytesMax: 32 * MiB }),
      },
      limits: { ...defaultFrontLimits, requestsInFlightPerConnectionMax: Infinity },
      clock: systemClock,
      requestsInFlight: () => this.frames.length,
      onFrame: (taken) => this.frames.push(taken),
      onRefused: ({ message }) => expect.unreachable(message),
      pause: () => (this.isPaused = true),
      resume: () => (this.isPaused = false),
    });
  }

  /** The socket's next bytes, as many as the reader wants. */
  read(): number {
    const wanted = this.reader.nextRead();
    const bytes = Math.min(
      typeof wanted === 'number' ? wanted : wanted.length,
      limits.socketReadBytes,
    );
    const period = this.frameBytes + lengthPrefixBytes;
    const from = this.readBytes % period;
    const sent = this.#stream.subarray(from, from + bytes);
    this.readBytes += bytes;
    this.reads += 1;
    if (typeof wanted === 'number') this.reader.push(sent);
    else {
      sent.copy(wanted);
      this.reader.filled(bytes);
    }
    return bytes;
  }

  get frameBytes(): number {
    return this.#stream.readInt32BE(0);
  }

  /** Reads until the reader pauses; how many bytes it has then that are of no frame it took. */
  readUntilPaused(taken: number): number {
    while (!this.isPaused) this.read();
    return this.readBytes - taken * (this.frameBytes + lengthPrefixBytes);
  }

  /** Answers the oldest, and waits for what that lets in. */
  async answerOne(): Promise<void> {
    const [oldest] = this.frames.splice(0, 1);
    expect(oldest).toBeDefined();
    oldest?.release();
    this.reader.released(this.frameBytes);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a client that sends more than goes', () => {
  it.each([60 * KiB, 200 * KiB, 900 * KiB])(
    'is read to about the end of a frame of %d bytes at the bound, so that little is kept',
    async (frameBytes) => {
      const client = new EagerClient(frameBytes, frameBytes);
      let keptBytes = client.readUntilPaused(1);
      for (let taken = 1; taken < 20; taken += 1) {
        await client.answerOne();
        const kept = client.readUntilPaused(taken + 1);
        expect(kept).toBeLessThanOrEqual(2 * limits.socketReadBytesMin);
        keptBytes += kept;
      }
      expect(keptBytes).toBeLessThanOrEqual(client.readBytes / 10);
    },
  );

  it('is read many small frames at a time, though few are kept', async () => {
    const frameBytes = 200;
    const client = new EagerClient(frameBytes, frameBytes);
    client.readUntilPaused(1);
    for (let taken = 1; taken < 2000; taken += 1) {
      await client.answerOne();
      const kept = client.readUntilPaused(taken + 1);
      expect(kept).toBeLessThanOrEqual(limits.socketReadBytesMin);
    }
    const sentBytes = 2000 * (lengthPrefixBytes + frameBytes);
    expect(client.reads).toBeLessThanOrEqual(sentBytes / limits.socketReadBytesMin + 2);
  });
});

it('reads more at a time while it need not pause, and less behind small reads', () => {
  const client = new EagerClient(10 * KiB, 1024 * MiB);
  const sizes = Array.from({ length: 6 }, () => client.read());
  expect(sizes).toEqual([16, 32, 64, 128, 256, 256].map((size) => size * KiB));
  client.reader.push(Buffer.alloc(20));
  expect(client.reader.nextRead()).toBe(limits.socketReadBytesMin);
});
