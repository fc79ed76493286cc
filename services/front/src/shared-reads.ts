import { Socket } from 'node:net';

/** What Node keeps behind a socket; the same in every release that we support. */
interface WithHandle {
  _handle: object | null;
}

/**
 * Reads of all connections into one buffer (the `onread` option of net.Socket).
 *
 * By default Node allocates 64 KiB for every read and gives them to the garbage collector. Here a
 * read is handled where it lies, before the next one of any connection can begin, so one buffer does
 * for all; it is larger, so busy connections take fewer reads.
 *
 * net.Server has no such option, so the handle of the accepted socket is put into a new one, the way
 * Node itself hands sockets between processes. The server must be made with `pauseOnConnect`.
 */
export class SharedReads {
  readonly #buffer: Buffer;

  constructor(bytes: number) {
    this.#buffer = Buffer.allocUnsafeSlow(bytes);
  }

  /**
   * A socket over the same connection. `onBytes` gets a view that is valid during the call only.
   * `accepted` is spent.
   */
  takeOver(accepted: Socket, onBytes: (bytes: Buffer) => void): Socket {
    const spent = accepted as unknown as WithHandle;
    const handle = spent._handle;
    spent._handle = null;
    // The server stops counting it.
    accepted.destroy();
    const buffer = this.#buffer;
    return new Socket({
      handle,
      allowHalfOpen: true,
      readable: true,
      writable: true,
      onread: {
        buffer,
        callback: (bytesRead: number) => {
          onBytes(buffer.subarray(0, bytesRead));
          return true;
        },
      },
      // The published types know neither `handle` nor a size-only callback.
    } as unknown as ConstructorParameters<typeof Socket>[0]);
  }
}
