import { mkdir, open } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import { systemErrorCode } from './file-errors.js';

const knownDirectoriesMax = 4096;

/**
 * Directories below a root that exist for good: made, and their entry in the parent synced. Each is
 * checked once, so that the steady state makes no call for them. A root that was there and is gone
 * is not made again: it may be a disk that was unmounted.
 */
export class DurableDirectories {
  readonly #root: string;
  // The promise is kept, not a flag: a second put into a directory that is just being made must
  // wait for the parent's sync as well, or its file could vanish with the directory.
  readonly #known = new Map<string, Promise<void>>();

  constructor(root: string) {
    this.#root = root;
  }

  /** Resolves when `directory`, at or below the root, would survive a power cut. */
  ensure(directory: string): Promise<void> {
    const known = this.#known.get(directory);
    if (known) return known;
    if (this.#known.size >= knownDirectoriesMax) this.#known.clear();
    const making = this.#make(directory);
    this.#known.set(directory, making);
    making.catch(() => this.#known.delete(directory));
    return making;
  }

  /** Forgets a directory and those above it, without the root, because someone has removed it. */
  forget(directory: string): void {
    for (let path = directory; this.#isBelowRoot(path); path = dirname(path)) {
      this.#known.delete(path);
    }
  }

  async #make(directory: string): Promise<void> {
    if (!this.#isBelowRoot(directory)) return makeRoot(directory);
    const parent = dirname(directory);
    await this.ensure(parent);
    try {
      await mkdir(directory);
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') throw error;
    }
    // Also when it existed: another process may have made it and not synced it yet.
    await syncDirectory(parent);
  }

  #isBelowRoot(directory: string): boolean {
    const path = relative(this.#root, directory);
    return path !== '' && !path.startsWith('..');
  }
}

/** With all directories above it that are missing. */
async function makeRoot(root: string): Promise<void> {
  const firstMade = await mkdir(root, { recursive: true });
  if (firstMade === undefined) return;
  for (let path = root; path.length >= firstMade.length; path = dirname(path)) {
    // oxlint-disable-next-line no-await-in-loop
    await syncDirectory(dirname(path));
  }
}

/** Makes the entries of a directory durable. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
