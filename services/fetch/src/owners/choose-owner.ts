/** A part of a segment. */
export interface BlockName {
  readonly segmentId: string;
  readonly block: number;
}

/**
 * The owner of a block by rendezvous hash: every node gets a weight for the block, and the heaviest of
 * those that can be asked wins; null: none can. So a node that comes or goes moves only the blocks that
 * it wins or won, an even part of each other node's.
 */
export function chooseOwner(
  nodeIds: readonly number[],
  { segmentId, block }: BlockName,
  canAsk: (nodeId: number) => boolean,
): number | null {
  const blockHash = mix(fnv1a(segmentId) ^ Math.imul(block + 1, 0x9e3779b1));
  let owner: number | null = null;
  let ownerWeight = -1;
  for (const nodeId of nodeIds) {
    const weight = mix(blockHash ^ mix(nodeId | 0));
    // Equal weights go to the smaller id: the order in which a node knows the others says nothing.
    const isHeavier =
      weight > ownerWeight || (weight === ownerWeight && nodeId < (owner ?? nodeId));
    if (!isHeavier || !canAsk(nodeId)) continue;
    owner = nodeId;
    ownerWeight = weight;
  }
  return owner;
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash;
}

/** The finalizer of MurmurHash3: every bit of the input changes half of those of the result. */
function mix(value: number): number {
  let hash = value ^ (value >>> 16);
  hash = Math.imul(hash, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
