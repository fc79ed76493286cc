import { invariant } from '@kafscale/core';

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const keyPattern = /^(?:.*\/)?v1\/segments\/([0-9a-f]{2})\/([0-9a-f-]{36})\.seg$/;

/** Where all segments are, relative to the store's own prefix. */
export const segmentsPrefix = 'v1/segments/';

/**
 * The key of a segment, relative to the store's prefix unless one is given. The two digits that
 * spread the keys over S3's partitions and over directories are the id's last: random in every
 * version of UUID, which the first ones are not.
 */
export function segmentKey(segmentId: string, prefix = ''): string {
  invariant(uuidPattern.test(segmentId), 'a segment id is a lower-case dashed UUID');
  const base = prefix === '' ? '' : `${prefix}/`;
  return `${base}${segmentsPrefix}${segmentId.slice(-2)}/${segmentId}.seg`;
}

/** The segment id of a key under any prefix; undefined when it is not the key of a segment. */
export function segmentIdFromKey(key: string): string | undefined {
  const match = keyPattern.exec(key);
  const segmentId = match?.[2];
  if (segmentId === undefined || !uuidPattern.test(segmentId)) return undefined;
  return match?.[1] === segmentId.slice(-2) ? segmentId : undefined;
}
