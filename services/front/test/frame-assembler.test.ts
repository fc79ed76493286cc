import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { FrameAssembler } from '../src/frame-assembler.js';
import type { FrameStep } from '../src/frame-assembler.js';
import { FrameMemory } from '../src/frame-memory.js';

const frameBytesMax = 100 * 1024 * 1024;
const frameMemory = { idleBytesMax: 1024 * 1024, bytesMax: 64 * 1024 * 1024 };

function framed(frame: Buffer): Buffer {
  const prefix = Buffer.alloc(4);
  prefix.writeInt32BE(frame.length);
  return Buffer.concat([prefix, frame]);
}

/** Cuts `bytes` at the given places; places beyond the end are folded back into it. */
function chunksOf(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const chunks: Buffer[] = [];
  let from = 0;
  for (const to of [...places, bytes.length]) {
    chunks.push(Buffer.from(bytes.subarray(from, to)));
    from = to;
  }
  return chunks;
}

function hashOf(bytes: Buffer): string {
  return createHash('sha1').update(bytes).digest('hex');
}

/** All that is complete; every announcement is admitted. */
function framesOf(assembler: FrameAssembler): Buffer[] {
  const frames: Buffer[] = [];
  for (;;) {
    const step = assembler.next();
    if (step === 'more' || step === 'refused') return frames;
    if (step === 'announced') assembler.admit();
    else frames.push(step.bytes);
  }
}

/** Everything that comes out of `assembler` for one chunk; every announcement is admitted. */
function feed(assembler: FrameAssembler, chunk: Buffer): Array<Buffer | 'refused'> {
  const result: Array<Buffer | 'refused'> = [];
  assembler.push(chunk);
  for (;;) {
    const step = assembler.next();
    if (step === 'more') return result;
    if (step === 'announced') {
      assembler.admit();
      continue;
    }
    if (step === 'refused') return [...result, step];
    result.push(step.bytes);
  }
}

function bytesOf(step: FrameStep): Buffer | string {
  return typeof step === 'string' ? step : step.bytes;
}

const frameOfAnySize = fc
  .oneof(fc.integer({ min: 8, max: 64 }), fc.integer({ min: 8, max: 5000 }))
  .chain((length) => fc.uint8Array({ minLength: length, maxLength: length }))
  .map((bytes) => Buffer.from(bytes));

describe('FrameAssembler', () => {
  it('gives the same frames however the bytes are cut into chunks', () => {
    fc.assert(
      fc.property(
        fc.array(frameOfAnySize, { maxLength: 12 }),
        fc.array(fc.nat(100_000), { maxLength: 40 }),
        (frames, cuts) => {
          const assembler = new FrameAssembler(frameBytesMax, new FrameMemory(frameMemory));
          const chunks = chunksOf(Buffer.concat(frames.map(framed)), cuts);
          const got = chunks.flatMap((chunk) => feed(assembler, chunk));
          expect(got).toEqual(frames);
          expect(assembler.inProgress).toBe(false);
        },
      ),
    );
  });

  it('gives the same frames when large ones are read straight into their memory', () => {
    const pattern = Buffer.from(Array.from({ length: 251 }, (_, index) => index));
    let filled = 0;
    const large: fc.Arbitrary<Buffer> = fc
      .integer({ min: 60_000, max: 3_000_000 })
      .map((length) => Buffer.alloc(length, pattern));
    fc.assert(
      fc.property(
        fc.array<Buffer>(fc.oneof(frameOfAnySize, large), { minLength: 1, maxLength: 4 }),
        fc.array(fc.integer({ min: 1, max: 600_000 }), { minLength: 1, maxLength: 20 }),
        (frames, reads) => {
          const assembler = new FrameAssembler(frameBytesMax, new FrameMemory(frameMemory));
          const stream = Buffer.concat(frames.map(framed));
          const got: Buffer[] = [];
          for (let at = 0, turn = 0; at < stream.length; turn += 1) {
            const memory = assembler.bodyMemory;
            const wanted = stream.subarray(at, at + (reads[turn % reads.length] ?? 1));
            if (memory === null) assembler.push(wanted);
            else assembler.filled(wanted.copy(memory));
            const taken = memory === null ? wanted.length : Math.min(wanted.length, memory.length);
            if (memory !== null) filled += taken;
            at += taken;
            got.push(...framesOf(assembler));
          }
          expect(got.map((frame) => hashOf(frame))).toEqual(frames.map((frame) => hashOf(frame)));
          expect(assembler.inProgress).toBe(false);
        },
      ),
      { numRuns: 40 },
    );
    expect(filled).toBeGreaterThan(0);
  });

  it('gives the frames before garbage, then refuses for ever, however the bytes are cut', () => {
    const garbage = fc.oneof(
      fc.integer({ min: -(2 ** 31), max: 7 }),
      fc.integer({ min: frameBytesMax + 1, max: 2 ** 31 - 1 }),
    );
    fc.assert(
      fc.property(
        fc.array(frameOfAnySize, { maxLength: 5 }),
        garbage,
        fc.array(fc.nat(30_000), { maxLength: 20 }),
        (frames, length, cuts) => {
          const prefix = Buffer.alloc(4);
          prefix.writeInt32BE(length);
          const bytes = Buffer.concat([...frames.map(framed), prefix, framed(Buffer.alloc(20))]);
          const assembler = new FrameAssembler(frameBytesMax, new FrameMemory(frameMemory));
          const got: Array<Buffer | 'refused'> = [];
          for (const chunk of chunksOf(bytes, cuts)) got.push(...feed(assembler, chunk));
          expect(got.filter((step) => step !== 'refused')).toEqual(frames);
          expect(got[frames.length]).toBe('refused');
          expect(assembler.next()).toBe('refused');
          expect(feed(assembler, framed(Buffer.alloc(20)))).toEqual(['refused']);
        },
      ),
    );
  });

  it('gives frames that outlive the chunk they came in', () => {
    const assembler = new FrameAssembler(frameBytesMax, new FrameMemory(frameMemory));
    const chunk = Buffer.concat([framed(Buffer.alloc(20, 1)), framed(Buffer.alloc(30, 2))]);
    const frames = feed(assembler, chunk);
    chunk.fill(0xff);
    expect(frames).toEqual([Buffer.alloc(20, 1), Buffer.alloc(30, 2)]);
  });

  it('keeps what it has not used up when the chunk is used again', () => {
    const assembler = new FrameAssembler(frameBytesMax, new FrameMemory(frameMemory));
    const chunk = Buffer.concat([framed(Buffer.alloc(20, 1)), framed(Buffer.alloc(30, 2))]);
    assembler.push(chunk);
    expect(assembler.next()).toBe('announced');
    assembler.keepRest();
    chunk.fill(0xff);
    assembler.admit();
    expect(bytesOf(assembler.next())).toEqual(Buffer.alloc(20, 1));
    expect(assembler.next()).toBe('announced');
    assembler.admit();
    expect(bytesOf(assembler.next())).toEqual(Buffer.alloc(30, 2));
  });

  it('holds a frame back until it is admitted, and says whether it has arrived', () => {
    const assembler = new FrameAssembler(frameBytesMax, new FrameMemory(frameMemory));
    const frame = Buffer.alloc(100, 7);
    assembler.push(framed(frame));
    expect(assembler.next()).toBe('announced');
    expect(assembler.next()).toBe('announced');
    expect(assembler.announcedBytes).toBe(100);
    expect(assembler.announcedHasArrived).toBe(true);
    assembler.admit();
    expect(bytesOf(assembler.next())).toEqual(frame);
    expect(() => assembler.admit()).toThrow(/admitted/);

    const half = new FrameAssembler(frameBytesMax, new FrameMemory(frameMemory));
    half.push(framed(frame).subarray(0, 50));
    expect(half.next()).toBe('announced');
    expect(half.announcedHasArrived).toBe(false);
  });

  it('assembles 20 MB from small chunks with a few allocations', () => {
    const frame = Buffer.alloc(20 * 1024 * 1024);
    for (let i = 0; i < frame.length; i += 4096) frame.writeUInt32BE(i, i);
    const bytes = framed(frame);
    const assembler = new FrameAssembler(frameBytesMax, new FrameMemory(frameMemory));
    const externalBefore = process.memoryUsage().arrayBuffers;
    let got: Array<Buffer | 'refused'> = [];
    for (let i = 0; i < bytes.length; i += 1400) {
      got = got.concat(feed(assembler, bytes.subarray(i, i + 1400)));
    }
    expect(got).toHaveLength(1);
    expect(frame.equals(got[0] as Buffer)).toBe(true);
    // 1 + 8 + 20 MiB, not a quadratic pile.
    expect(process.memoryUsage().arrayBuffers - externalBefore).toBeLessThan(40 * 1024 * 1024);
  });

  it('allocates nothing for frames that are only announced, and little for a few bytes of them', () => {
    const prefix = Buffer.alloc(4);
    prefix.writeInt32BE(frameBytesMax);
    const before = process.memoryUsage().arrayBuffers;
    const memory = new FrameMemory(frameMemory);
    const assemblers = Array.from({ length: 50 }, () => new FrameAssembler(frameBytesMax, memory));
    for (const assembler of assemblers) expect(feed(assembler, prefix)).toEqual([]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
    for (const assembler of assemblers) expect(feed(assembler, Buffer.alloc(10))).toEqual([]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(65 * 1024 * 1024);
    expect(assemblers.every((assembler) => assembler.inProgress)).toBe(true);
  });

  it.each([
    ['a TLS ClientHello', Buffer.from('1603010200010001fc0303', 'hex'), 'tls', /TLS/],
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\n'), 'http', /HTTP/],
    ['HTTP/2', Buffer.from('PRI * HTTP/2.0\r\n'), 'http', /HTTP/],
    ['a negative length', Buffer.from('ffffffff00', 'hex'), 'negative', /-1 bytes/],
    ['no room for a header', Buffer.from('0000000700', 'hex'), 'short', /7 bytes/],
    ['an oversize length', Buffer.from('0640000100', 'hex'), 'oversize', /104857601 .* 104857600/],
  ])('recognises %s', (_name, bytes, reason, message) => {
    const assembler = new FrameAssembler(frameBytesMax, new FrameMemory(frameMemory));
    expect(feed(assembler, bytes)).toEqual(['refused']);
    expect(assembler.refusal?.reason).toBe(reason);
    expect(assembler.refusal?.message).toMatch(message);
  });

  it('accepts the limits themselves', () => {
    for (const length of [8, frameBytesMax]) {
      const prefix = Buffer.alloc(4);
      prefix.writeInt32BE(length);
      const assembler = new FrameAssembler(frameBytesMax, new FrameMemory(frameMemory));
      assembler.push(prefix);
      expect(assembler.next()).toBe('announced');
      expect(assembler.announcedBytes).toBe(length);
    }
  });
});
