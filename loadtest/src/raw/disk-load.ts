import { randomBytes } from 'node:crypto';
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@kafscale/core';
import type { LoadResult } from './produce-load.js';

export interface DiskLoad {
  /** Its file is there while it runs. */
  readonly directory: string;
  readonly chunkBytes: number;
  /** Rounded up to whole chunks. */
  readonly totalBytes: number;
}

/** One file, written from start to end in chunks, each synced before the next: what a disk can give. */
export function runDiskLoad({ chunkBytes, directory, totalBytes }: DiskLoad): LoadResult {
  const file = join(directory, `disk-load-${process.pid}`);
  const descriptor = openSync(file, 'w');
  try {
    const chunk = randomBytes(chunkBytes);
    const chunks = Math.ceil(totalBytes / chunkBytes);
    const startMs = systemClock.monotonicMs();
    for (let written = 0; written < chunks; written += 1) {
      writeSync(descriptor, chunk);
      fdatasyncSync(descriptor);
    }
    const seconds = (systemClock.monotonicMs() - startMs) / 1000;
    return { records: chunks, bytes: chunks * chunkBytes, seconds };
  } finally {
    closeSync(descriptor);
    rmSync(file);
  }
}
