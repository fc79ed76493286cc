import { message, schema } from '@kafscale/codec';
import type { BlockRead, BlockUrgency, WantedExtent } from '../blocks.js';
import { decodeExtents, encodeExtents, extentFields } from './extent-rows.js';
import { malformed, RowReader, RowWriter } from './packed-rows.js';

const readMessage = message({
  name: 'ReadExtentsRequest',
  versions: '0',
  flexible: '0+',
  fields: { urgency: schema.int8(), leaderEpochs: schema.bytes(), ...extentFields },
});

const answerMessage = message({
  name: 'ReadExtentsResponse',
  versions: '0',
  flexible: '0+',
  /** A length for each extent, −1 where it can't be had; then their bytes, one after another. */
  fields: { lengths: schema.bytes(), batches: schema.bytes() },
});

const rowBytes = 4;
const urgencies: readonly BlockUrgency[] = ['tail', 'catchUp', 'readAhead'];

export function encodeBlockRead({ wanted, urgency }: BlockRead): Uint8Array[] {
  const leaderEpochs = new RowWriter(wanted.length, rowBytes);
  for (const { leaderEpoch } of wanted) leaderEpochs.int32(leaderEpoch);
  return readMessage.encode(
    {
      urgency: urgencies.indexOf(urgency),
      leaderEpochs: leaderEpochs.finish(),
      ...encodeExtents(wanted.map(({ extent }) => extent)),
    },
    0,
  );
}

/** Throws ProtocolError. */
export function decodeBlockRead(payload: Buffer): BlockRead {
  const read = readMessage.decode(payload, 0);
  const urgency = urgencies[read.urgency] ?? malformed(`urgency ${read.urgency}`);
  const leaderEpochs = new RowReader(read.leaderEpochs, rowBytes);
  const extents = decodeExtents(read);
  if (leaderEpochs.count !== extents.length) malformed('an extent without a leader epoch');
  const wanted = extents.map((extent): WantedExtent => {
    return { extent, leaderEpoch: leaderEpochs.int32() };
  });
  return { wanted, urgency };
}

/** The chunks are the extents' bytes themselves, uncopied. */
export function encodeBlockAnswer(extents: readonly (Buffer | null)[]): Uint8Array[] {
  const lengths = new RowWriter(extents.length, rowBytes);
  for (const bytes of extents) lengths.int32(bytes?.length ?? -1);
  const batches = extents.filter((bytes) => bytes !== null);
  return answerMessage.encode({ lengths: lengths.finish(), batches }, 0);
}

/** Views of `payload`. Throws ProtocolError. */
export function decodeBlockAnswer(payload: Buffer): (Buffer | null)[] {
  const { lengths, batches } = answerMessage.decode(payload, 0);
  const rows = new RowReader(lengths, rowBytes);
  const extents: (Buffer | null)[] = [];
  let position = 0;
  for (let row = 0; row < rows.count; row += 1) {
    const length = rows.int32();
    if (length < -1 || length > batches.length - position) malformed(`${length} bytes of extent`);
    extents.push(length === -1 ? null : batches.subarray(position, position + length));
    position += Math.max(0, length);
  }
  if (position !== batches.length) malformed('bytes that belong to no extent');
  return extents;
}
