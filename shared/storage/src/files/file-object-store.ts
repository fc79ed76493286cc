import { randomUUID } from 'node:crypto';
import { fstat, read } from 'node:fs';
import { link, readdir, rm, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Clock, invariant, limits, OperatingError, systemClock } from '@kafscale/core';
import { checkKeyPrefix, checkObjectKey } from '../object-key.js';
import type { ObjectInfo, ObjectStore, ReadOptions } from '../object-store.js';
import { directBlockBytes } from './direct-writer.js';
import { DurableDirectories, syncDirectory } from './durable-directories.js';
import { fileStoreError, systemErrorCode } from './file-errors.js';
import { listFiles } from './list-files.js';
import { OpenFileCache } from './open-file-cache.js';
import { writeNewFile } from './write-file.js';
import { BlockingWriter } from './write-object-blocking.js';

/** Within the root, so that a rename stays on one file system; no key begins with a dot. */
const temporaryName = '.tmp';
const parallelDeletes = 16;

const readFile = promisify(read);
const statFile = promisify(fstat);

/**
 * Objects as files below one directory. A put costs one sync of the file and one of its directory.
 * The caller's checksum is not stored: a file system gives back what it was given, or an error.
 */
export class FileObjectStore implements ObjectStore {
  readonly url: string;
  readonly sizeMultiple: number;
  readonly #root: string;
  readonly #clock: Clock;
  readonly #directories: DurableDirectories;
  readonly #openFiles = new OpenFileCache(limits.storeOpenFilesMax);

  readonly #blockingWriter: BlockingWriter | null;

  /** `url` is `file:///absolute/path`. `blockingPuts`: see {@link BlockingWriter}. */
  constructor(url: string, options: { blockingPuts?: boolean; clock?: Clock } = {}) {
    this.url = url;
    this.#root = fileURLToPath(url);
    this.#clock = options.clock ?? systemClock;
    this.#blockingWriter =
      options.blockingPuts === true ? new BlockingWriter(limits.storeOpenDirectoriesMax) : null;
    this.sizeMultiple = this.#blockingWriter === null ? 1 : directBlockBytes;
    this.#directories = new DurableDirectories(this.#root);
  }

  /** Also removes what puts that never ended have left behind. */
  async check(): Promise<void> {
    const temporary = join(this.#root, temporaryName);
    try {
      await this.#directories.ensure(temporary);
      await this.#removeLeftovers(temporary);
      const probe = join(temporary, randomUUID());
      await writeNewFile(probe, [Buffer.from('probe')]);
      await unlink(probe);
    } catch (error) {
      throw fileStoreError(error, `can't use ${this.#root}`);
    }
  }

  async put(key: string, chunks: readonly Uint8Array[], _crc32c: number): Promise<void> {
    checkObjectKey(key);
    const path = join(this.#root, key);
    const temporary = join(this.#root, temporaryName, randomUUID());
    try {
      await this.#place(temporary, path, chunks);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      if (systemErrorCode(error) === 'EEXIST') {
        throw new OperatingError('OBJECT_EXISTS', `${path} exists`);
      }
      throw fileStoreError(notFoundIsUnreachable(error), `can't write ${key}`);
    }
    try {
      if (this.#blockingWriter) this.#blockingWriter.syncDirectoryOf(path);
      else await syncDirectory(dirname(path));
    } catch (error) {
      // Visible now, but perhaps not after a power cut.
      throw fileStoreError(notFoundIsUnreachable(error), `can't sync ${key}`, 'unknown');
    }
  }

  async read(
    key: string,
    position: number,
    length: number,
    { into }: ReadOptions = {},
  ): Promise<Buffer> {
    checkObjectKey(key);
    invariant(position >= 0 && length > 0, 'a read has a position and a length');
    try {
      return await this.#openFiles.use(join(this.#root, key), async (descriptor) => {
        const bytes = into ?? Buffer.allocUnsafeSlow(length);
        invariant(bytes.length === length, 'the memory has the length of the read');
        let filled = 0;
        while (filled < length) {
          // oxlint-disable-next-line no-await-in-loop
          const { bytesRead } = await readFile(
            descriptor,
            bytes,
            filled,
            length - filled,
            position + filled,
          );
          if (bytesRead === 0) {
            throw new OperatingError(
              'RANGE_NOT_SATISFIABLE',
              `${key} ends before byte ${position + length}`,
            );
          }
          filled += bytesRead;
        }
        return bytes;
      });
    } catch (error) {
      throw fileStoreError(error, `can't read ${key}`);
    }
  }

  async readTail(key: string, length: number): Promise<{ bytes: Buffer; sizeBytes: number }> {
    checkObjectKey(key);
    invariant(length > 0, 'a tail has a length');
    try {
      const path = join(this.#root, key);
      const { size } = await this.#openFiles.use(path, (descriptor) => statFile(descriptor));
      const tailBytes = Math.min(length, size);
      const bytes =
        tailBytes === 0 ? Buffer.alloc(0) : await this.read(key, size - tailBytes, tailBytes);
      return { bytes, sizeBytes: size };
    } catch (error) {
      throw fileStoreError(error, `can't read ${key}`);
    }
  }

  /** Not synced: a file that comes back after a power cut is an orphan like any other. */
  async delete(keys: readonly string[]): Promise<readonly string[]> {
    keys.forEach(checkObjectKey);
    const failed: string[] = [];
    for (let start = 0; start < keys.length; start += parallelDeletes) {
      const some = keys.slice(start, start + parallelDeletes);
      // oxlint-disable-next-line no-await-in-loop
      const results = await Promise.all(some.map((key) => this.#deleteOne(key)));
      failed.push(...some.filter((_, index) => results[index] === false));
    }
    return failed;
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    checkKeyPrefix(prefix);
    try {
      yield* listFiles(this.#root, prefix);
    } catch (error) {
      throw fileStoreError(error, `can't list ${this.#root}`);
    }
  }

  close(): Promise<void> {
    this.#openFiles.close();
    this.#blockingWriter?.close();
    return Promise.resolve();
  }

  async #place(temporary: string, path: string, chunks: readonly Uint8Array[]): Promise<void> {
    try {
      await this.#writeAndLink(temporary, path, chunks);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      // Someone removed a directory that we remember as made.
      this.#directories.forget(dirname(temporary));
      this.#directories.forget(dirname(path));
      this.#blockingWriter?.close();
      await rm(temporary, { force: true });
      await this.#writeAndLink(temporary, path, chunks);
    }
  }

  async #writeAndLink(
    temporary: string,
    path: string,
    chunks: readonly Uint8Array[],
  ): Promise<void> {
    await this.#directories.ensure(dirname(temporary));
    await this.#directories.ensure(dirname(path));
    if (this.#blockingWriter) {
      this.#blockingWriter.writeAndLink(temporary, path, chunks);
      return;
    }
    await writeNewFile(temporary, chunks);
    // link() fails when the name exists, atomically; rename() would overwrite it.
    await link(temporary, path);
    // Gone before the directory is synced: one journal commit then has both changes.
    await rm(temporary, { force: true }).catch(() => undefined);
  }

  async #deleteOne(key: string): Promise<boolean> {
    const path = join(this.#root, key);
    this.#openFiles.evict(path);
    try {
      await unlink(path);
      return true;
    } catch (error) {
      return systemErrorCode(error) === 'ENOENT';
    }
  }

  /** By age, not all: another process may be writing into the same directory right now. */
  async #removeLeftovers(temporary: string): Promise<void> {
    const oldestMs = this.#clock.wallMs() - limits.storeTempFileAgeMs;
    for (const name of await readdir(temporary)) {
      const path = join(temporary, name);
      // oxlint-disable-next-line no-await-in-loop
      const info = await stat(path).catch(() => undefined);
      // oxlint-disable-next-line no-await-in-loop
      if (info && info.mtimeMs < oldestMs) await rm(path, { force: true });
    }
  }
}

/** For a put, ENOENT means that the store's own directories are gone. */
function notFoundIsUnreachable(error: unknown): unknown {
  if (systemErrorCode(error) !== 'ENOENT') return error;
  return new OperatingError('STORE_UNREACHABLE', "the store's directory is gone", {
    cause: error,
    retriable: true,
  });
}
