/**
 * The object store as the services see it: immutable objects under unique keys. Implementations:
 * local files and S3; one contract suite holds for both.
 */
export interface ObjectInfo {
  readonly key: string;
  readonly sizeBytes: number;
  readonly lastModifiedMs: number;
}

export interface ReadOptions {
  /** Where the bytes go: as long as the read, and the store's until the promise settles. */
  readonly into?: Buffer | undefined;
  /** Nobody waits for the read any more. A store whose reads can not be stopped ignores it. */
  readonly signal?: AbortSignal | undefined;
}

export interface ObjectStore {
  /** For people: `file:///…` or `s3://bucket/prefix`. */
  readonly url: string;

  /** Objects whose size is a multiple of this are stored at the least cost; 1: any size is. */
  readonly sizeMultiple: number;

  /** Fails with STORE_UNREACHABLE (or a more exact code) when the store can't be used. */
  check(): Promise<void>;

  /**
   * Stores `chunks` under `key`, durably, and only if the key does not exist: OBJECT_EXISTS
   * otherwise. Rejects with outcome `unknown` when the object may be there.
   * `crc32c` is the CRC32C of all the chunks together.
   */
  put(key: string, chunks: readonly Uint8Array[], crc32c: number): Promise<void>;

  /** Exactly `length` bytes from `position`. OBJECT_NOT_FOUND; RANGE_NOT_SATISFIABLE if short. */
  read(key: string, position: number, length: number, options?: ReadOptions): Promise<Buffer>;

  /** The last `length` bytes, or the whole object if it is shorter, and the object's size. */
  readTail(key: string, length: number): Promise<{ bytes: Buffer; sizeBytes: number }>;

  /** Deletes; a key that does not exist counts as deleted. Returns the keys that failed. */
  delete(keys: readonly string[]): Promise<readonly string[]>;

  /** In key order, page by page. For sweeps and recovery only, never for correctness. */
  list(prefix: string): AsyncIterable<ObjectInfo>;

  close(): Promise<void>;
}
