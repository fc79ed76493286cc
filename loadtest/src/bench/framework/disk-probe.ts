import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { systemClock } from '@kafscale/core';
import { quantile } from './statistics.js';

/** What the disk under the data folders gives, taken when both servers are idle. */
export interface DiskFacts {
  /** Of a 4 KiB append and fdatasync. */
  readonly fsyncMsMedian: number;
  readonly fsyncMs99: number;
  /** 8 MiB appends, fdatasync after each. */
  readonly sequentialMegabytesPerSecond: number;
}

const appendBytes = 4096;
const chunkBytes = 8 * 1024 * 1024;

export function probeDisk(directory: string, options: { readonly chunks: number }): DiskFacts {
  const file = join(directory, 'disk-probe');
  const descriptor = openSync(file, 'w');
  try {
    const append = randomBytes(appendBytes);
    const fsyncMs = Array.from({ length: options.chunks * 8 }, () =>
      writeAndSyncMs(descriptor, append),
    );
    const chunk = randomBytes(chunkBytes);
    writeAndSyncMs(descriptor, chunk);
    const chunkMs = Array.from({ length: options.chunks }, () => writeAndSyncMs(descriptor, chunk));
    const totalMs = chunkMs.reduce((sum, each) => sum + each, 0);
    return {
      fsyncMsMedian: quantile(fsyncMs, 0.5),
      fsyncMs99: quantile(fsyncMs, 0.99),
      sequentialMegabytesPerSecond: (chunkBytes * options.chunks) / 1e6 / (totalMs / 1000),
    };
  } finally {
    closeSync(descriptor);
    rmSync(file);
  }
}

function writeAndSyncMs(descriptor: number, bytes: Buffer): number {
  const startMs = systemClock.monotonicMs();
  writeSync(descriptor, bytes);
  fdatasyncSync(descriptor);
  return systemClock.monotonicMs() - startMs;
}
