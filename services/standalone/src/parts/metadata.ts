import type { Config } from '@kafscale/config';
import { openMetadataStore, startEmbeddedPostgres } from '@kafscale/metadata';
import type { MetadataStore } from '@kafscale/metadata';
import type { Logger } from '@kafscale/telemetry';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Closers } from '../process/closers.js';
import { keptSecret } from './kept-files.js';

export interface Metadata {
  readonly store: MetadataStore;
  /** Who owns shards: see LeaseKeeper in the coordinator. */
  readonly ownerInstanceId: string;
}

/** The metadata store that the configuration names, or an embedded one under the data dir. */
export async function openMetadata(options: {
  config: Config;
  log: Logger;
  closers: Closers;
  /** The embedded server died or was taken by another process: this one can't go on. */
  onLost: (error: Error) => void;
}): Promise<Metadata> {
  const { closers, config, log, onLost } = options;
  if (config.metadataUrl !== undefined) {
    const store = await openMetadataStore({ url: config.metadataUrl });
    closers.add('metadata store', () => store.close());
    return { store, ownerInstanceId: randomUUID() };
  }
  const dataDir = join(config.dataDir, 'postgres');
  const postgres = await startEmbeddedPostgres({ dataDir, log, onLost });
  closers.add('embedded PostgreSQL', () => postgres.stop('fast'));
  const store = await openMetadataStore({ url: postgres.url });
  closers.add('metadata store', () => store.close());
  // Only one process can hold the embedded database, so the lease may stay with the data dir: a
  // restart after a kill does not wait for the old one to run out.
  const instanceFile = join(config.dataDir, 'coordinator-instance-id');
  return { store, ownerInstanceId: await keptSecret(instanceFile, randomUUID) };
}
