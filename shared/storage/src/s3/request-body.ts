import { Readable } from 'node:stream';

/** Smaller chunks are copied together: a write to a socket costs more than the copy. */
const pieceBytesMin = 256 * 1024;

/** The chunks as one request body. A stream is used up by one attempt: make a body for each. */
export function requestBody(chunks: readonly Uint8Array[]): Uint8Array | Readable {
  const pieces = joinSmallChunks(chunks);
  const only = pieces[0];
  if (only === undefined) return Buffer.alloc(0);
  return pieces.length === 1 ? only : Readable.from(pieces, { objectMode: false });
}

function joinSmallChunks(chunks: readonly Uint8Array[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let small: Uint8Array[] = [];
  let smallBytes = 0;
  const join = (): void => {
    if (small.length > 0) pieces.push(Buffer.concat(small, smallBytes));
    small = [];
    smallBytes = 0;
  };
  for (const chunk of chunks) {
    if (chunk.length >= pieceBytesMin) {
      join();
      pieces.push(chunk);
    } else if (chunk.length > 0) {
      small.push(chunk);
      smallBytes += chunk.length;
      if (smallBytes >= pieceBytesMin) join();
    }
  }
  join();
  return pieces;
}
