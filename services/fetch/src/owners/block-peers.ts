import type { BlockService } from '@kafscale/cluster';

/** The fetch nodes that share the loading of blocks, as this one sees them now. */
export interface BlockPeers {
  /** −1: not registered. */
  readonly ownNodeId: number;
  /** The live ones, this one included. */
  fetchNodeIds(): readonly number[];
  /** Undefined: it can't be reached right now. */
  blocksOf(nodeId: number): BlockService | undefined;
}
