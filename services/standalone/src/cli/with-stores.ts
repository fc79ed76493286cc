import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '@kafscale/config';
import { OperatingError } from '@kafscale/core';
import { findEmbeddedPostgres, startEmbeddedPostgres } from '@kafscale/metadata';
import { openObjectStore } from '@kafscale/storage';
import type { ObjectStore } from '@kafscale/storage';
import { objectStoreOptions } from './object-store-options.js';

export interface Stores {
  readonly objects: ObjectStore;
  /** Holds a password: never print it. */
  readonly metadataUrl: string;
}

/**
 * `reading`: beside a server that runs, if one does. `alone`: DATA_DIR_IN_USE while one runs on the
 * embedded metadata store; makes the data dir if there is none.
 */
export type StoreAccess = 'reading' | 'alone';

/** Gives `work` both stores of the configuration, and closes what it had to open for that. */
export async function withStores<T>(
  config: Config,
  access: StoreAccess,
  work: (stores: Stores) => Promise<T>,
): Promise<T> {
  const objects = openObjectStore(config.storeUrl, objectStoreOptions(config));
  try {
    if (config.metadataUrl !== undefined) {
      return await work({ objects, metadataUrl: config.metadataUrl });
    }
    return await withEmbedded(config, access, (metadataUrl) => work({ objects, metadataUrl }));
  } finally {
    await objects.close();
  }
}

async function withEmbedded<T>(
  config: Config,
  access: StoreAccess,
  work: (url: string) => Promise<T>,
): Promise<T> {
  const dataDir = join(config.dataDir, 'postgres');
  if (access === 'reading') {
    if (!existsSync(dataDir)) {
      throw new OperatingError(
        'METADATA_NOT_FOUND',
        `there is no embedded metadata store in ${config.dataDir}: name it with --data-dir, or another with --metadata-url`,
      );
    }
    const running = await findEmbeddedPostgres(dataDir);
    if (running !== undefined) return work(running);
  }
  // The claim on the folder keeps a server from starting on it meanwhile.
  const log = { info: () => undefined, warn: () => undefined };
  const postgres = await startEmbeddedPostgres({ dataDir, log });
  try {
    return await work(postgres.url);
  } finally {
    await postgres.stop('fast');
  }
}
