import { invariant } from '@kafscale/core';

/** What a client sends, and what must come back. */
export interface TestRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly RecordHeader[];
}

export interface RecordHeader {
  readonly name: string;
  readonly value: Buffer | null;
}

export interface ConsumedRecord extends TestRecord {
  readonly offset: number;
}

/** What a client's own interface can express; everything else is never left out. */
export interface RecordFeatures {
  readonly nullValues: boolean;
  /** An empty value in a record without a key. */
  readonly emptyRecords: boolean;
  /** `partition`: the tool takes headers by the run, not by the record. */
  readonly headers: 'record' | 'partition';
  /** Header values that are not text. */
  readonly binaryHeaders: boolean;
  readonly nullHeaders: boolean;
  /** The same name twice in a record. */
  readonly repeatedHeaders: boolean;
}

export interface GenerateOptions {
  readonly topic: string;
  readonly partitions: number;
  readonly count: number;
  /** The same seed gives the same records. */
  readonly seed: number;
  readonly features: RecordFeatures;
}

const largeValueBytes = 100 * 1024;

/**
 * Records in the shapes that break naive code: no key, an empty one, binary and text keys; null and
 * empty values, text, bytes that do not compress, values of 100 KiB; no headers, repeated names,
 * empty, binary and non-ASCII values.
 */
export function generateRecords(options: GenerateOptions): TestRecord[] {
  const { topic, partitions, count, features } = options;
  invariant(count >= 0, 'a count is not negative');
  const random = randomFrom(options.seed);
  return Array.from({ length: count }, (_, index) => {
    const partition = index % partitions;
    const headerIndex = features.headers === 'partition' ? partition : index;
    const key = keyOf(index, random);
    const value = valueOf(index, random, features);
    const dropped = !features.emptyRecords && key === null && value?.length === 0;
    return {
      topic,
      partition,
      key: dropped ? Buffer.alloc(0) : key,
      value,
      headers: headersOf(headerIndex, random, features),
    };
  });
}

function keyOf(index: number, random: () => number): Buffer | null {
  switch (index % 7) {
    case 0:
      return null;
    case 1:
      return randomBytes(1 + Math.floor(random() * 24), random);
    case 2:
      return index % 14 === 2 ? Buffer.alloc(0) : Buffer.from(`schlüssel-${index % 50}-鍵`);
    default:
      return Buffer.from(`key-${index % 100}`);
  }
}

function valueOf(index: number, random: () => number, features: RecordFeatures): Buffer | null {
  if (index % 400 === 201) return largeValue(index, random);
  if (index % 100 === 50) return randomBytes(4096 + Math.floor(random() * 8192), random);
  switch (index % 10) {
    case 0:
      return Buffer.alloc(0);
    case 1:
      return features.nullValues && index % 20 === 1 ? null : Buffer.from([0]);
    case 2:
    case 3:
      return randomBytes(1 + Math.floor(random() * 400), random);
    default:
      return Buffer.from(textLine(index, random));
  }
}

/** Half of it compresses, half of it does not. */
function largeValue(index: number, random: () => number): Buffer {
  const line = `${index} ${textLine(index, random)}\n`;
  const text = Buffer.from(line.repeat(Math.ceil(largeValueBytes / 2 / line.length)));
  return Buffer.concat([text, randomBytes(largeValueBytes / 2, random)]);
}

function headersOf(
  index: number,
  random: () => number,
  features: RecordFeatures,
): readonly RecordHeader[] {
  const text = (name: string, value: string): RecordHeader => ({ name, value: Buffer.from(value) });
  switch (index % 6) {
    case 0:
      return [];
    case 1:
      return [text('trace', `t-${index}`)];
    case 2:
      return [text('café', 'déjà vu ☕ — 日本語'), text('empty', '')];
    case 3:
      return features.binaryHeaders
        ? [{ name: 'binary', value: randomBytes(1 + Math.floor(random() * 64), random) }]
        : [text('spaces', 'a b  c ; d')];
    case 4:
      return features.nullHeaders
        ? [{ name: 'null', value: null }, text('content-type', 'text/plain')]
        : [text('content-type', 'text/plain')];
    default:
      return [
        text('long', 'x'.repeat(300)),
        text('index', String(index)),
        ...(features.repeatedHeaders ? [text('index', 'again')] : []),
        text('last', 'z'),
      ];
  }
}

const words = ['INFO', 'GET', '/index.html', '200', 'user=42', 'Überlauf', 'timeout', '—', 'ok'];

function textLine(index: number, random: () => number): string {
  const length = 3 + Math.floor(random() * 20);
  const picked = Array.from({ length }, () => words[Math.floor(random() * words.length)]);
  return `2026-01-01T00:00:00.${String(index).padStart(6, '0')}Z ${picked.join(' ')}`;
}

export function randomBytes(length: number, random: () => number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let index = 0; index < length; index += 1) bytes[index] = Math.floor(random() * 256);
  return bytes;
}

/** Numbers in [0, 1), the same ones for the same seed (the mulberry32 generator). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
