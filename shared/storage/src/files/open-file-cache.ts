import { closeSync, open } from 'node:fs';
import { promisify } from 'node:util';

const openFile: (path: string, flags: string) => Promise<number> = promisify(open);

interface OpenFile {
  readonly opening: Promise<number>;
  users: number;
  isEvicted: boolean;
}

/**
 * Descriptors of files that were read lately, at most `capacity` besides those in use. Files never
 * change, so one stays right; one that is evicted while in use is closed by its last user.
 */
export class OpenFileCache {
  readonly #capacity: number;
  readonly #files = new Map<string, OpenFile>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  async use<Result>(path: string, work: (descriptor: number) => Promise<Result>): Promise<Result> {
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
    const file = this.#files.get(path) ?? {
      opening: openFile(path, 'r'),
      users: 0,
      isEvicted: false,
    };
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
  // loses nothing. Closing is done here and now: it waits for nothing, and a thread of the pool would
  // have to be woken for it, which costs 30 times as much.
  void file.opening.then(closeSync).catch(() => undefined);
}
