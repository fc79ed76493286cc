import { segmentIdFromKey, segmentsPrefix } from '@kafscale/codec';
import { openObjectStore } from '@kafscale/storage';
import type { ObjectStore } from '@kafscale/storage';
import type { S3Server } from '@kafscale/testing';
import { cleanup } from './cleanup.js';
import type { Cluster, ObjectPlace } from './cluster.js';

let prefixes = 0;

/** A place of its own in a real S3 server's bucket, and the ways to it. */
export class Bucket {
  readonly url: string;
  /** Straight to the server. */
  readonly objects: ObjectStore;
  readonly #server: S3Server;

  constructor(server: S3Server) {
    this.#server = server;
    prefixes += 1;
    this.url = `s3://${server.bucket}/cluster-${process.pid}-${prefixes}`;
    const { options, url } = this.place();
    this.objects = openObjectStore(url, options);
    cleanup(() => this.objects.close());
  }

  place(endpoint: string = this.#server.endpoint): ObjectPlace {
    const { accessKeyId, region, secretAccessKey } = this.#server;
    const credentials = { accessKeyId, secretAccessKey };
    return { url: this.url, options: { endpoint, region, pathStyle: true, credentials } };
  }

  /** For a process. */
  env(endpoint: string = this.#server.endpoint): Record<string, string> {
    return {
      KAFSCALE_STORE_URL: this.url,
      KAFSCALE_S3_ENDPOINT: endpoint,
      KAFSCALE_S3_REGION: this.#server.region,
      AWS_ACCESS_KEY_ID: this.#server.accessKeyId,
      AWS_SECRET_ACCESS_KEY: this.#server.secretAccessKey,
    };
  }

  async segmentIds(): Promise<string[]> {
    const ids: string[] = [];
    for await (const { key } of this.objects.list(segmentsPrefix)) {
      ids.push(segmentIdFromKey(key) ?? key);
    }
    return ids.toSorted();
  }

  /** Segments that no row of the index knows. */
  async orphans(cluster: Cluster): Promise<string[]> {
    const rows = await cluster.query('SELECT segment_id::text AS id FROM segments');
    const known = new Set(rows.map((row) => String(row['id'])));
    return (await this.segmentIds()).filter((id) => !known.has(id));
  }
}

/** A sweep for orphans is due now; resolves when there are none left. */
export async function collectOrphans(cluster: Cluster, bucket: Bucket): Promise<void> {
  // While nobody sweeps: one that ends now would say that the next is due tomorrow.
  await cluster.restartCoordinator(() =>
    cluster.query("UPDATE orphan_sweep SET starts_at = now() - interval '1 second', next_part = 0"),
  );
  while ((await bucket.orphans(cluster)).length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Background work that does nothing by itself, and takes any orphan that it is sent to look for. */
export const sweepsOnDemand = { orphanGraceMs: 0, pauseMs: 0, checkIntervalMs: 3_600_000 };
