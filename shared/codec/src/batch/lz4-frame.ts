import { OperatingError } from '@kafscale/core';

/**
 * One LZ4 frame (the frame format, as Kafka's Lz4BlockInputStream reads it) with a bound on what
 * comes out. The native decoder has no bound of its own, so the block lengths are summed up first.
 */
export async function decompressLz4(bytes: Buffer, bytesMax: number): Promise<Buffer> {
  const bound = decompressedBytesBound(bytes);
  if (bound > bytesMax) {
    throw new OperatingError(
      'RECORDS_TOO_LARGE',
      `records may decompress to ${bound} bytes, over ${bytesMax}`,
    );
  }
  const { decompressFrame } = await import('lz4-napi');
  return decompressFrame(bytes);
}

const frameMagic = 0x184d2204;
const flagBits = { blockChecksums: 0x10, contentSize: 0x08, dictionaryId: 0x01 } as const;
const uncompressedBlockBit = 0x80000000;
/** A byte of LZ4 input makes at most 255 bytes of output. */
const expansionMax = 255;

/** At least what the frame decompresses to; exact to within its last block for full blocks. */
function decompressedBytesBound(bytes: Buffer): number {
  if (bytes.length < 11 || bytes.readUInt32LE(0) !== frameMagic) throw corrupt('no LZ4 frame');
  const flags = bytes.readUInt8(4);
  const blockSizeCode = (bytes.readUInt8(5) >>> 4) & 7;
  if (blockSizeCode < 4) throw corrupt(`LZ4 block size code ${blockSizeCode}`);
  const blockBytesMax = 2 ** (8 + 2 * blockSizeCode);
  const checksumBytes = (flags & flagBits.blockChecksums) === 0 ? 0 : 4;
  let at = 6 + 1;
  if ((flags & flagBits.contentSize) !== 0) at += 8;
  if ((flags & flagBits.dictionaryId) !== 0) at += 4;
  let bound = 0;
  for (;;) {
    if (at + 4 > bytes.length) throw corrupt('truncated LZ4 frame');
    const header = bytes.readUInt32LE(at);
    if (header === 0) return bound;
    const isUncompressed = (header & uncompressedBlockBit) !== 0;
    const storedBytes = (header & ~uncompressedBlockBit) >>> 0;
    bound += isUncompressed ? storedBytes : Math.min(blockBytesMax, storedBytes * expansionMax);
    at += 4 + storedBytes + checksumBytes;
  }
}

function corrupt(message: string): OperatingError {
  return new OperatingError('RECORDS_CORRUPT', message);
}
