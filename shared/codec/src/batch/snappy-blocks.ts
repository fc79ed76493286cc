import { OperatingError } from '@kafscale/core';

/**
 * Snappy as Kafka clients send it: a raw block (librdkafka), or raw blocks in the framing of
 * xerial's SnappyOutputStream (Java), which is not the official Snappy framing. Every raw block
 * begins with its decompressed length, so that the bound is known before anything is allocated.
 */
export async function decompressSnappy(bytes: Buffer, bytesMax: number): Promise<Buffer> {
  const blocks = startsWithXerialHeader(bytes, 0) ? xerialBlocks(bytes) : [bytes];
  let length = 0;
  for (const block of blocks) {
    length += decompressedLength(block);
    if (length > bytesMax) {
      throw new OperatingError('RECORDS_TOO_LARGE', `records decompress to over ${bytesMax} bytes`);
    }
  }
  const { uncompress } = await import('snappy');
  const pieces: Buffer[] = [];
  // One after the other: the bound holds for what is in memory, also of a hostile batch.
  for (const block of blocks) {
    // oxlint-disable-next-line no-await-in-loop
    pieces.push(toBuffer(await uncompress(block, { asBuffer: true })));
  }
  const only = pieces.length === 1 ? pieces[0] : undefined;
  return only ?? Buffer.concat(pieces);
}

/** The header of SnappyOutputStream: magic, then version and lowest compatible version. */
export const xerialHeader = Buffer.from('82534e41505059000000000100000001', 'hex');
const xerialMagic = xerialHeader.subarray(0, 8);

function startsWithXerialHeader(bytes: Buffer, at: number): boolean {
  return bytes.subarray(at, at + xerialMagic.length).equals(xerialMagic);
}

function xerialBlocks(bytes: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    // Streams may be concatenated: SnappyInputStream accepts a header wherever a block may start.
    if (startsWithXerialHeader(bytes, at)) {
      at += xerialHeader.length;
      continue;
    }
    if (bytes.length - at < 4) throw corrupt('truncated snappy block length');
    const length = bytes.readUInt32BE(at);
    at += 4;
    if (length > bytes.length - at) throw corrupt('truncated snappy block');
    blocks.push(bytes.subarray(at, at + length));
    at += length;
  }
  return blocks;
}

/** The varint at the head of a raw block. */
function decompressedLength(block: Buffer): number {
  let value = 0;
  for (let index = 0; index < 5; index += 1) {
    const byte = block[index];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return value;
  }
  throw corrupt('snappy block without a length');
}

function toBuffer(value: string | Buffer): Buffer {
  return typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
}

function corrupt(message: string): OperatingError {
  return new OperatingError('RECORDS_CORRUPT', message);
}
