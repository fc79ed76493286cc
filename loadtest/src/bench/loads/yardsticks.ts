import type { BenchServer } from '../../peers/bench-server.js';
import type { BenchS3Server } from '../../peers/s3-server.js';
import type { LoadResult } from '../../raw/produce-load.js';
import { runYardstick } from '../../raw/run-yardstick.js';
import type { Contender, Load } from '../framework/measure.js';

/** Both write in pieces of the size of our segments. */
const pieceBytes = 8 * 1024 * 1024;
const warmUpShare = 1 / 4;

/** What no server on this disk can exceed: the row `disk`. */
export function diskYardstick(directory: string, megabytes: number): Contender {
  return {
    name: 'disk',
    server: noServer('disk', []),
    load: yardstickLoad('disk', ({ isWarmUp }) =>
      runYardstick({
        kind: 'disk',
        directory,
        chunkBytes: pieceBytes,
        totalBytes: megabytes * 1e6 * (isWarmUp ? warmUpShare : 1),
      }),
    ),
  };
}

export interface SdkPuts {
  readonly store: BenchS3Server;
  readonly megabytes: number;
  readonly parallelism: number;
}

/** What the SDK alone gets from the S3 server: the row `SDK`. */
export function sdkYardstick({ megabytes, parallelism, store }: SdkPuts): Contender {
  return {
    name: 'SDK',
    server: noServer('SDK', [store.pid]),
    load: yardstickLoad('SDK', ({ id, isWarmUp }) =>
      putWithSdk({ store, parallelism, id, megabytes: megabytes * (isWarmUp ? warmUpShare : 1) }),
    ),
  };
}

const parallelisms = [1, 2, 4, 8, 16] as const;

/** With how many PUTs at once the SDK gets the most from this server, tried once each. */
export async function bestParallelism(store: BenchS3Server, megabytes: number): Promise<number> {
  let best = { parallelism: 1, bytesPerSecond: 0 };
  for (const parallelism of parallelisms) {
    const id = `calibration-${parallelism}`;
    const { bytes, seconds } = await putWithSdk({ store, parallelism, id, megabytes });
    console.error(`  SDK, ${parallelism} PUTs at once: ${(bytes / 1e6 / seconds).toFixed(0)} MB/s`);
    if (bytes / seconds > best.bytesPerSecond) {
      best = { parallelism, bytesPerSecond: bytes / seconds };
    }
  }
  return best.parallelism;
}

async function putWithSdk({
  id,
  megabytes,
  parallelism,
  store,
}: SdkPuts & { readonly id: string }): Promise<LoadResult> {
  const { accessKeyId, bucket, endpoint, region, secretAccessKey } = store;
  return await runYardstick({
    kind: 's3',
    endpoint,
    bucket,
    region,
    accessKeyId,
    secretAccessKey,
    keyPrefix: `sdk/${id}`,
    objectBytes: pieceBytes,
    parallelism,
    totalBytes: megabytes * 1e6,
  });
}

/** A contender that speaks no Kafka. */
function noServer(name: string, storePids: readonly number[]): BenchServer {
  const dispose = async (): Promise<void> => {};
  const address = { host: '127.0.0.1', port: 0 };
  return { name, description: '', address, rootPids: [], storePids, dispose };
}

function yardstickLoad(
  name: string,
  run: (id: Parameters<Load['run']>[1]) => Promise<LoadResult>,
): Load {
  return {
    name,
    description: '',
    prepare: async () => {},
    run: (_, id) => run(id),
    verify: async () => {},
  };
}
