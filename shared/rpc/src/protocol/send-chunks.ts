import type { WebSocket } from 'ws';

/** Up to here joining is cheaper than the two socket writes that a fragment costs. */
const joinBytesMax = 16 * 1024;

/**
 * Sends one binary message through ws. Large chunks go out as fragments, uncopied: the caller must
 * not change them until they have left. Small ones are joined.
 */
export function sendChunks(
  socket: WebSocket,
  chunks: readonly Uint8Array[],
  totalBytes: number,
): void {
  if (totalBytes <= joinBytesMax) {
    socket.send(Buffer.concat(chunks, totalBytes), { binary: true, fin: true });
    return;
  }
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  const flush = (fin: boolean): void => {
    const [only] = pending;
    const data = pending.length === 1 && only ? only : Buffer.concat(pending, pendingBytes);
    socket.send(data, { binary: true, fin });
    pending = [];
    pendingBytes = 0;
  };
  for (const chunk of chunks) {
    if (pendingBytes > 0 && pendingBytes + chunk.byteLength > joinBytesMax) flush(false);
    pending.push(chunk);
    pendingBytes += chunk.byteLength;
  }
  flush(true);
}
