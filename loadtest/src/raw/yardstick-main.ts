import type { DiskLoad } from './disk-load.js';
import type { LoadResult } from './produce-load.js';
import type { S3GetLoad } from './s3-get-load.js';
import type { S3PutLoad } from './s3-put-load.js';

/**
 * What the machine gives without any server of ours, as a process of its own:
 * `yardstick-main.js '{"kind": "disk", …}'` prints the result as JSON.
 */
export type Yardstick =
  | ({ readonly kind: 'disk' } & DiskLoad)
  | ({ readonly kind: 's3' } & S3PutLoad)
  | ({ readonly kind: 's3Get' } & S3GetLoad);

const yardstick = JSON.parse(process.argv[2] ?? '') as Yardstick;
try {
  console.log(JSON.stringify(await run(yardstick)));
} catch (error) {
  console.error(error);
  process.exit(1);
}

/** The SDK is loaded only by who needs it. */
async function run(asked: Yardstick): Promise<LoadResult> {
  if (asked.kind === 'disk') return (await import('./disk-load.js')).runDiskLoad(asked);
  if (asked.kind === 's3Get') return await (await import('./s3-get-load.js')).runS3GetLoad(asked);
  return await (await import('./s3-put-load.js')).runS3PutLoad(asked);
}
