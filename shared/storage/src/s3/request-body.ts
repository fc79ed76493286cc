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
  return chunks.length === 1 ? only : new ChunkedBody(chunks);
}

class ChunkedBody extends Readable {
  readonly #chunks: readonly Uint8Array[];
  #next = 0;

  constructor(chunks: readonly Uint8Array[]) {
    super();
    this.#chunks = chunks;
  }

  override _read(): void {
    this.push(this.#take() ?? null);
  }

  /**
   * How the SDK sends it. Node's own `pipe` pauses at every chunk that a request has no room for, which
   * is every one of them: a write per chunk, of 64 KiB and less. What is written in one turn is
   * gathered by the request.
   */
  override pipe<Destination extends NodeJS.WritableStream>(request: Destination): Destination {
    const writeTurn = (): void => {
      let hasRoom = true;
      for (let written = 0; hasRoom || written < turnBytes;) {
        const chunk = this.#take();
        if (chunk === undefined) {
          request.end();
          return;
        }
        written += chunk.length;
        hasRoom = request.write(chunk);
      }
      request.once('drain', writeTurn);
    };
    writeTurn();
    return request;
  }

  #take(): Uint8Array | undefined {
    const chunk = this.#chunks[this.#next];
    this.#next += 1;
    return chunk;
  }
}
