import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  linkSync,
  openSync,
  unlinkSync,
  writevSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { invariant } from '@kafscale/core';
import { DirectWriter } from './direct-writer.js';
import { buffersPerCallMax, withoutFirst } from './write-file.js';

/**
 * Puts an object in place by calls that block the thread: for threads that do nothing else.
 *
 * The same steps through node:fs/promises are ten trips to libuv's pool and back. Where waking
 * another thread is slow (a virtual machine) the trips cost more than the work: see the figures in
 * shared/storage/DESIGN.md.
 */
export class BlockingWriter {
  readonly #directories = new Map<string, number>();
  readonly #directoriesMax: number;
  readonly #direct = new DirectWriter();

  constructor(directoriesMax: number) {
    this.#directoriesMax = directoriesMax;
  }

  /**
   * Writes and syncs `temporary`, then gives it the name `path`: throws EEXIST if that is taken. In this
   * order an object is whole under its name, also after a power cut; linking first would save one of
   * two journal commits (480 KiB in 0.48 instead of 0.58 ms).
   */
  writeAndLink(temporary: string, path: string, chunks: readonly Uint8Array[]): void {
    const direct = this.#direct.write(temporary, chunks);
    const file = direct ?? openSync(temporary, 'wx', 0o644);
    try {
      if (direct === null) writeAll(file, chunks);
      // The data and the size; times can be lost.
      fdatasyncSync(file);
    } finally {
      closeSync(file);
    }
    linkSync(temporary, path);
    // Gone before the directory is synced: one journal commit then has both changes.
    unlinkSync(temporary);
  }

  /** Makes the names in the directory of `path` durable. */
  syncDirectoryOf(path: string): void {
    fsyncSync(this.#openDirectory(dirname(path)));
  }

  close(): void {
    for (const directory of this.#directories.values()) closeSync(directory);
    this.#directories.clear();
  }

  /** Directories stay open: there are few, and opening costs as much as syncing. */
  #openDirectory(path: string): number {
    const known = this.#directories.get(path);
    if (known !== undefined) return known;
    if (this.#directories.size >= this.#directoriesMax) this.close();
    const opened = openSync(path, 'r');
    this.#directories.set(path, opened);
    return opened;
  }
}

/** Gather-write without copying; goes on after a short write. */
function writeAll(file: number, chunks: readonly Uint8Array[]): void {
  let position = 0;
  for (let first = 0; first < chunks.length; first += buffersPerCallMax) {
    let pending = chunks.slice(first, first + buffersPerCallMax);
    pending = pending.filter((chunk) => chunk.length > 0);
    while (pending.length > 0) {
      const bytesWritten = writevSync(file, pending, position);
      invariant(bytesWritten > 0, 'a write without an error writes something');
      position += bytesWritten;
      pending = withoutFirst(pending, bytesWritten);
    }
  }
}
