import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { isOperatingError, limits, OperatingError } from '@kafscale/core';
import { compressionCodecs, type CompressionName } from './batch-header.js';
import { decompressLz4 } from './lz4-frame.js';
import { decompressSnappy, xerialHeader } from './snappy-blocks.js';
import { decompressZstd } from './zstd-frames.js';

const gunzipAsync = promisify(gunzip);
const gzipAsync = promisify(gzip);

// The native modules are loaded when first needed: most processes never decompress anything, and
// one without a prebuilt binary for its platform must still be able to produce and fetch.

/**
 * The records section of a batch, decompressed. For timestamp lookups, dumps and checks on demand,
 * never on the produce or fetch path. Rejects with RECORDS_CORRUPT, RECORDS_TOO_LARGE (nothing
 * larger than `bytesMax` is ever allocated) or COMPRESSION_UNSUPPORTED.
 */
export async function decompressRecords(
  codec: number,
  bytes: Buffer,
  bytesMax: number = limits.recordsDecompressedBytesMax,
): Promise<Buffer> {
  try {
    return await decompress(codec, bytes, bytesMax);
  } catch (error) {
    if (isOperatingError(error)) throw error;
    if (error instanceof RangeError && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') {
      throw new OperatingError('RECORDS_TOO_LARGE', `records decompress to over ${bytesMax} bytes`);
    }
    throw new OperatingError('RECORDS_CORRUPT', 'the records do not decompress', { cause: error });
  }
}

async function decompress(codec: number, bytes: Buffer, bytesMax: number): Promise<Buffer> {
  switch (codec) {
    case compressionCodecs.none:
      return bytes;
    case compressionCodecs.gzip:
      return gunzipAsync(bytes, { maxOutputLength: bytesMax });
    case compressionCodecs.snappy:
      return decompressSnappy(bytes, bytesMax);
    case compressionCodecs.lz4:
      return decompressLz4(bytes, bytesMax);
    case compressionCodecs.zstd:
      return decompressZstd(bytes, bytesMax);
    default:
      throw new OperatingError('COMPRESSION_UNSUPPORTED', `compression codec ${codec}`);
  }
}

/** Compresses as the Java client does (snappy in xerial's framing). For load and for tests. */
export async function compressRecords(codec: CompressionName, bytes: Buffer): Promise<Buffer> {
  if (codec === 'none') return bytes;
  if (codec === 'gzip') return gzipAsync(bytes);
  if (codec === 'snappy') {
    const { compress } = await import('snappy');
    const block = await compress(bytes);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(block.length);
    return Buffer.concat([xerialHeader, length, block]);
  }
  if (codec === 'lz4') {
    const { compressFrame } = await import('lz4-napi');
    return compressFrame(bytes);
  }
  const { Zstd } = await import('@hpcc-js/wasm-zstd');
  return Buffer.from((await Zstd.load()).compress(bytes));
}
