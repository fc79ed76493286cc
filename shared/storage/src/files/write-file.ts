import { type FileHandle, open } from 'node:fs/promises';
import { invariant } from '@kafscale/core';

/** IOV_MAX of Linux: more buffers in one call would be split anyway. */
export const buffersPerCallMax = 1024;

/** Writes the chunks to a new file and waits until the disk has them. */
export async function writeNewFile(path: string, chunks: readonly Uint8Array[]): Promise<void> {
  const handle = await open(path, 'wx', 0o644);
  try {
    await writeAll(handle, chunks);
    // The data and the size; times can be lost. The name comes later, with its directory.
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/** Gather-write without copying; goes on after a short write. */
async function writeAll(handle: FileHandle, chunks: readonly Uint8Array[]): Promise<void> {
  let position = 0;
  let next = 0;
  let pending: Uint8Array[] = [];
  while (next < chunks.length || pending.length > 0) {
    const fresh = chunks.slice(next, next + buffersPerCallMax - pending.length);
    next += fresh.length;
    pending.push(...fresh.filter((chunk) => chunk.length > 0));
    if (pending.length === 0) continue;
    // oxlint-disable-next-line no-await-in-loop
    const { bytesWritten } = await handle.writev(pending, position);
    invariant(bytesWritten > 0, 'a write without an error writes something');
    position += bytesWritten;
    pending = withoutFirst(pending, bytesWritten);
  }
}

/** What is left of the buffers after their first `bytes` bytes. */
export function withoutFirst(buffers: Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes;
  for (let index = 0; index < buffers.length; index += 1) {
    const buffer = buffers[index];
    invariant(buffer, 'an index below the length');
    if (left < buffer.length) {
      return left === 0
        ? buffers.slice(index)
        : [buffer.subarray(left), ...buffers.slice(index + 1)];
    }
    left -= buffer.length;
  }
  return [];
}
