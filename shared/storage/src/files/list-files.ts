import type { Dirent } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ObjectInfo } from '../object-store.js';
import { systemErrorCode } from './file-errors.js';

/**
 * The files below `root` whose key begins with `prefix`, in key order. Holds one directory's names
 * per level in memory. What vanishes while it is listed is left out.
 */
export async function* listFiles(root: string, prefix: string): AsyncGenerator<ObjectInfo> {
  const directoryKey = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  yield* listDirectory(root, directoryKey, prefix);
}

async function* listDirectory(
  root: string,
  directoryKey: string,
  prefix: string,
): AsyncGenerator<ObjectInfo> {
  for (const entry of await sortedEntries(join(root, directoryKey))) {
    const key = directoryKey + entry.name;
    if (entry.isDirectory()) {
      const isInside = `${key}/`.startsWith(prefix) || prefix.startsWith(`${key}/`);
      if (isInside && !entry.name.startsWith('.')) yield* listDirectory(root, `${key}/`, prefix);
    } else if (entry.isFile() && key.startsWith(prefix)) {
      // oxlint-disable-next-line no-await-in-loop
      const info = await describeFile(root, key);
      if (info) yield info;
    }
  }
}

async function sortedEntries(directory: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    // Key order, not name order: "a/x" comes after "a.x", because "/" is compared as part of it.
    const sortKey = (entry: Dirent): string =>
      entry.isDirectory() ? `${entry.name}/` : entry.name;
    return entries.sort((left, right) => (sortKey(left) < sortKey(right) ? -1 : 1));
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

async function describeFile(root: string, key: string): Promise<ObjectInfo | undefined> {
  try {
    const { size, mtimeMs } = await lstat(join(root, key));
    return { key, sizeBytes: size, lastModifiedMs: mtimeMs };
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

function isGone(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}
