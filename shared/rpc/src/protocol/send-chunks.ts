import type { WebSocket } from 'ws';

/** Up to here joining is cheaper than the two socket writes that a fragment costs. */
const joinBytesMax = 16 * 1024;

/** One binary message. */
export interface OutgoingMessage {
  readonly chunks: readonly Uint8Array[];
  readonly totalBytes: number;
  /** Called when the chunks have left; never if the connection breaks before. */
  readonly sent?: (() => void) | undefined;
}

/**
 * Sends a message through ws. Large chunks go out as fragments, uncopied: the caller must not change
 * them until they have left. Small ones are joined.
 */
export function sendChunks(socket: WebSocket, { chunks, totalBytes, sent }: OutgoingMessage): void {
  if (totalBytes <= joinBytesMax) {
    socket.send(Buffer.concat(chunks, totalBytes), { binary: true, fin: true });
    sent?.();
    return;
  }
  // Writes end in order: with the last fragment all have left.
  const ended = sent && ((error?: Error | null) => (error ? undefined : sent()));
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  const flush = (fin: boolean): void => {
    const [only] = pending;
    const data = pending.length === 1 && only ? only : Buffer.concat(pending, pendingBytes);
    socket.send(data, { binary: true, fin }, fin ? ended : undefined);
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
