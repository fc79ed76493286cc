import { OperatingError } from '@kafscale/core';
import { Decompress } from 'fzstd';

/**
 * Zstandard (RFC 8878) with a bound on what comes out. The decoder allocates the window that a
 * frame header asks for, up to 2 GB, before it has decoded a byte; so all headers are judged first.
 */
export function decompressZstd(bytes: Uint8Array, bytesMax: number): Buffer {
  checkFrameHeaders(bytes, bytesMax);
  const pieces: Uint8Array[] = [];
  let length = 0;
  const decoder = new Decompress((piece) => {
    length += piece.length;
    if (length > bytesMax) throw tooLarge(bytesMax);
    pieces.push(piece);
  });
  decoder.push(bytes, true);
  return Buffer.concat(pieces, length);
}

const frameMagic = 0xfd2fb528;
const skippableMagicMask = 0xfffffff0;
const skippableMagic = 0x184d2a50;
const contentSizeFieldBytes = [0, 2, 4, 8] as const;
const dictionaryIdFieldBytes = [0, 1, 2, 4] as const;
const blockTypeRunLength = 1;

function checkFrameHeaders(bytes: Uint8Array, bytesMax: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at < bytes.length) {
    const magic = readUint(view, at, 4);
    if ((magic & skippableMagicMask) >>> 0 === skippableMagic) {
      at += 8 + readUint(view, at + 4, 4);
    } else if (magic === frameMagic) {
      at = checkFrame(view, at + 4, bytesMax);
    } else {
      throw corrupt(`no zstd frame at byte ${at}`);
    }
  }
  if (at !== bytes.length) throw corrupt('truncated zstd frame');
}

/** Judges one frame's window and content size; returns where the next frame starts. */
function checkFrame(view: DataView, start: number, bytesMax: number): number {
  const descriptor = readUint(view, start, 1);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const hasChecksum = (descriptor & 0x04) !== 0;
  let at = start + 1;
  let windowBytes = 0;
  if (!isSingleSegment) {
    const windowByte = readUint(view, at, 1);
    const base = 2 ** (10 + (windowByte >>> 3));
    windowBytes = base + (base / 8) * (windowByte & 7);
    at += 1;
  }
  at += dictionaryIdFieldBytes[(descriptor & 3) as 0 | 1 | 2 | 3];
  let sizeFieldBytes: number = contentSizeFieldBytes[(descriptor >>> 6) as 0 | 1 | 2 | 3];
  if (isSingleSegment && sizeFieldBytes === 0) sizeFieldBytes = 1;
  const contentBytes = sizeFieldBytes === 0 ? 0 : readUint(view, at, sizeFieldBytes);
  if (Math.max(windowBytes, contentBytes) > bytesMax) throw tooLarge(bytesMax);
  at += sizeFieldBytes;
  for (let isLast = false; !isLast;) {
    const header = readUint(view, at, 3);
    isLast = (header & 1) === 1;
    const storedBytes = ((header >>> 1) & 3) === blockTypeRunLength ? 1 : header >>> 3;
    at += 3 + storedBytes;
  }
  return hasChecksum ? at + 4 : at;
}

function readUint(view: DataView, at: number, fieldBytes: number): number {
  if (at + fieldBytes > view.byteLength) throw corrupt('truncated zstd frame');
  let value = 0;
  for (let index = fieldBytes - 1; index >= 0; index -= 1) {
    value = value * 256 + view.getUint8(at + index);
  }
  return value;
}

function corrupt(message: string): OperatingError {
  return new OperatingError('RECORDS_CORRUPT', message);
}

function tooLarge(bytesMax: number): OperatingError {
  return new OperatingError('RECORDS_TOO_LARGE', `records decompress to over ${bytesMax} bytes`);
}
