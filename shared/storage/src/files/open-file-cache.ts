import { type FileHandle, open } from 'node:fs/promises';

interface OpenFile {
  readonly opening: Promise<FileHandle>;
  users: number;
  isEvicted: boolean;
}

/**
 * Handles of files that were read lately, at most `capacity` besides those in use. Files never
 * change, so a handle stays right; one that is evicted while in use is closed by its last user.
 */
export class OpenFileCache {
  readonly #capacity: number;
  readonly #files = new Map<string, OpenFile>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  async use<Result>(path: string, work: (handle: FileHandle) => Promise<Result>): Promise<Result> {
    const file = this.#take(path);
    try {
      return await work(await file.opening);
    } catch (error) {
      this.evict(path); // a failed open or read is tried anew next time
      throw error;
    } finally {
      file.users -= 1;
      if (file.isEvicted && file.users === 0) closeQuietly(file);
    }
  }

  evict(path: string): void {
    const file = this.#files.get(path);
    if (!file) return;
    this.#files.delete(path);
    file.isEvicted = true;
    if (file.users === 0) closeQuietly(file);
  }

  close(): void {
    for (const path of this.#files.keys()) this.evict(path);
  }

  #take(path: string): OpenFile {
    const file = this.#files.get(path) ?? { opening: open(path, 'r'), users: 0, isEvicted: false };
    file.users += 1;
    // Map order is the order of use: taken out and put back, this one is now the youngest.
    this.#files.delete(path);
    this.#files.set(path, file);
    if (this.#files.size > this.#capacity) {
      const oldest = this.#files.keys().next();
      if (oldest.done !== true) this.evict(oldest.value);
    }
    return file;
  }
}

function closeQuietly(file: OpenFile): void {
  // A file that did not open has nothing to close, and a failed close of a file that was only read
  // loses nothing.
  void file.opening.then((handle) => handle.close()).catch(() => undefined);
}
