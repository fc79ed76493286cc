import type { BlockRead, BlockService, WantedExtent } from '@kafscale/cluster';
import { ByteBudget, OperatingError } from '@kafscale/core';
import type { BlockLoader } from '../blocks/block-loader.js';
import { forGood, Lease } from '../blocks/lease.js';
import type { LoadedExtent } from '../blocks/verify-extent.js';
import type { FetchMetrics } from '../metrics.js';

export interface BlockServerOptions {
  readonly loader: Pick<BlockLoader, 'load'>;
  /** Being loaded for all other nodes together. */
  readonly bytesInFlightMax: number;
  readonly metrics: FetchMetrics;
}

/**
 * What this node does for the others: it loads the blocks that it owns, by the same queue and into
 * the same cache as for its own readers. It never passes a question on, whoever it thinks the owner
 * is: two nodes that see the cluster differently for a moment read a block twice, and that is all.
 */
export class BlockServer implements BlockService {
  readonly #options: BlockServerOptions;
  readonly #budget: ByteBudget;

  constructor(options: BlockServerOptions) {
    this.#options = options;
    this.#budget = new ByteBudget(options.bytesInFlightMax);
  }

  async readExtents(
    { wanted, urgency }: BlockRead,
    onHeld?: (release: () => void) => void,
  ): Promise<readonly (Buffer | null)[]> {
    const bytes = bytesOf(wanted);
    // To wait here would only make the asking node late: the store has the same bytes.
    if (!this.#budget.tryTake(bytes)) {
      const text = `${this.#budget.takenBytes} bytes are being loaded for other nodes already`;
      throw new OperatingError('BLOCKS_BUSY', text, { retriable: true });
    }
    const lease = new Lease();
    let isHeld = false;
    try {
      const extents = await Promise.all(
        wanted.map(async ({ extent, leaderEpoch }) => {
          const request = { extent, leaderEpoch, arrival: 0, loadClass: urgency, isForPeer: true };
          const result = await this.#options.loader.load(request, lease);
          if (result.kind !== 'loaded') return null;
          this.#options.metrics.count('fetch_peer_extents_total');
          this.#options.metrics.count('fetch_peer_bytes_total', extent.length);
          return onHeld === undefined ? lasting(result.loaded) : result.loaded.bytes;
        }),
      );
      isHeld = onHeld !== undefined;
      onHeld?.(() => lease.release());
      return extents;
    } finally {
      if (!isHeld) lease.release();
      this.#budget.give(bytes);
    }
  }
}

/**
 * Nobody will say when the answer is looked at no more, so its memory is not used again. A writer's is
 * not ours to keep: of that it is a copy.
 */
function lasting(loaded: LoadedExtent): Buffer {
  const { bytes, memory, pieces } = loaded;
  const isWriters = memory !== null && memory.bytes.buffer !== bytes.buffer;
  if (isWriters) return pieces.length > 1 ? bytes : Buffer.from(bytes);
  forGood.hold(loaded);
  return bytes;
}

function bytesOf(wanted: readonly WantedExtent[]): number {
  let bytes = 0;
  for (const { extent } of wanted) {
    if (extent.length <= 0 || extent.position < 0) {
      throw new OperatingError('BLOCK_READ_INVALID', `${extent.length} bytes of an extent`);
    }
    bytes += extent.length;
  }
  return Math.max(1, bytes);
}
