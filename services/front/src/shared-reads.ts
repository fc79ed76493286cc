import { Socket } from 'node:net';

/** What Node keeps behind a socket; the same in every release that we support. */
interface WithHandle {
  _handle: object | null;
}

/** Who gets the bytes of a connection. */
export interface ReadTarget {
  /** Where the next bytes should go, or how many may come elsewhere. Asked after every read. */
  nextRead(): Buffer | number;
  /** So many bytes were put into the memory that it asked for, from its beginning. */
  filled(bytes: number): void;
  /** Bytes that came elsewhere: a view that is valid during the call only. */
  received(bytes: Buffer): void;
}

/**
 * Reads of all connections into one buffer (the `onread` option of net.Socket), or straight to where
 * the bytes belong.
 *
 * By default Node allocates 64 KiB for every read and gives them to the garbage collector. Here a
 * read is handled where it lies, before the next one of any connection can begin, so one buffer does
 * for all; it is larger, so busy connections take fewer reads. A connection that is in the middle of
 * a large frame reads into that frame: what comes is not copied at all.
 *
 * net.Server has no such option, so the handle of the accepted socket is put into a new one, the way
 * Node itself hands sockets between processes. The server must be made with `pauseOnConnect`.
 */
export class SharedReads {
  readonly #buffer: Buffer;
  /** For a connection's first read, before anybody can be asked. */
  readonly #first: Buffer;

  constructor(bytesMax: number, firstBytesMax: number) {
    this.#buffer = Buffer.allocUnsafeSlow(bytesMax);
    this.#first = this.#buffer.subarray(0, firstBytesMax);
  }

  /**
   * A socket over the same connection. `target` is asked for once the socket is there; `accepted` is
   * spent. Memory that was given for the next bytes is written to until another read has ended, even if
   * the connection has lost its interest in it: it must not be used for anything else meanwhile.
   */
  takeOver(accepted: Socket, target: () => ReadTarget): Socket {
    const spent = accepted as unknown as WithHandle;
    const handle = spent._handle;
    spent._handle = null;
    // The server stops counting it.
    accepted.destroy();
    const shared = this.#buffer;
    let next = this.#first;
    let isGiven = false;
    return new Socket({
      handle,
      allowHalfOpen: true,
      readable: true,
      writable: true,
      onread: {
        // The first call comes from the constructor.
        buffer: () => next,
        callback: (bytesRead: number) => {
          const receiver = target();
          if (isGiven) receiver.filled(bytesRead);
          else receiver.received(shared.subarray(0, bytesRead));
          const wanted = receiver.nextRead();
          isGiven = typeof wanted !== 'number';
          if (typeof wanted !== 'number') next = wanted;
          else next = wanted < shared.length ? shared.subarray(0, wanted) : shared;
          return true;
        },
      },
      // The published types know neither `handle` nor a size-only callback.
    } as unknown as ConstructorParameters<typeof Socket>[0]);
  }
}
