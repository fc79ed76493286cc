import { Readable } from 'node:stream';

/** What goes to the socket in one turn of the event loop, as one gathered write. */
const turnBytes = 1024 * 1024;

/**
 * The chunks as one request body, nothing copied. A stream is used up by one attempt: make a body
 * for each.
 *
 * Measured against a real server, 8 MiB puts, CPU seconds per GB of this process: chunks of 1 MiB
 * 0.6, of 16 KiB 0.75, of 1 KiB 1.05; copied together first 1.8 to 2.2 (fresh memory is what costs),
 * Readable.from 0.8 to 1.0 at 64 KiB. The SDK's own way, with its checksums: 1.5 to 1.7.
 */
export function requestBody(chunks: readonly Uint8Array[]): Uint8Array | Readable {
  const only = chunks[0];
  if (only === undefined) return Buffer.alloc(0);
  if (chunks.length === 1) return only;
  let next = 0;
  return new Readable({
    highWaterMark: turnBytes,
    read(): void {
      // Pushed in one go, so that the request corks its socket once for all of them.
      for (let wantsMore = true; wantsMore;) {
        const chunk = chunks[next];
        next += 1;
        wantsMore = this.push(chunk ?? null) && chunk !== undefined;
      }
    },
  });
}
