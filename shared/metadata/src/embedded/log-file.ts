import { copyFile, open, stat, truncate } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { embeddedLimits } from './types.js';

/**
 * The server's log: one file that the server appends to, and one older copy. The server holds the
 * file open, also across our own death, so it is copied and truncated rather than renamed; what is
 * written between the two is lost, which a log of warnings can bear.
 */
export class LogFile {
  readonly path: string;
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** For the server's standard output and error. The caller closes it. */
  async openForAppend(): Promise<FileHandle> {
    await this.#bound();
    return await open(this.path, 'a', 0o600);
  }

  async sizeBytes(): Promise<number> {
    return await stat(this.path).then(
      (info) => info.size,
      () => 0,
    );
  }

  /** What was written from `position` on, at most the last 16 KiB of it. */
  async readFrom(position: number): Promise<string> {
    const tailBytesMax = 16 * 1024;
    const sizeBytes = await this.sizeBytes();
    const from = Math.max(Math.min(position, sizeBytes), sizeBytes - tailBytesMax);
    const file = await open(this.path, 'r').catch(() => undefined);
    if (file === undefined) return '';
    try {
      const buffer = Buffer.alloc(sizeBytes - from);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, from);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  }

  startBounding(): void {
    this.#timer ??= setInterval(() => void this.#bound(), embeddedLimits.logCheckMs).unref();
  }

  stopBounding(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #bound(): Promise<void> {
    if ((await this.sizeBytes()) <= embeddedLimits.logBytesMax) return;
    // A full disk must not stop the database's owner: the next check tries again.
    await copyFile(this.path, `${this.path}.1`)
      .then(() => truncate(this.path, 0))
      .catch(() => undefined);
  }
}
