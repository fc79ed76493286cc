import { decodeSegmentFooter, encodePlainBatch } from '@kafscale/codec';
import { crc32c } from '@node-rs/crc32';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { buildSegment } from '../../src/seal/build-segment.js';
import { batchFields } from '../../src/seal/seal-job.js';

const KiB = 1024;

function batchOf(valueBytes: number): Buffer {
  return encodePlainBatch({ records: [{ timestampMs: 1, value: Buffer.alloc(valueBytes, 7) }] });
}

/** One partition whose batches lie in one shared memory. */
function jobOf(batches: readonly Buffer[]) {
  const shared = new SharedArrayBuffer(batches.reduce((sum, { length }) => sum + length, 0));
  const memory = Buffer.from(shared);
  const table = new Float64Array(batches.length * batchFields);
  let position = 0;
  batches.forEach((batch, index) => {
    batch.copy(memory, position);
    table.set([0, 0, position, batch.length, -1], index * batchFields);
    position += batch.length;
  });
  return {
    segmentId: '0190c3f2-8e4b-7d21-9a6c-5b4f3e2d1c0a',
    key: 'unused',
    nodeId: 1,
    incarnation: 1,
    birthMs: 1,
    softwareVersion: 'test',
    chunks: [shared],
    topicIds: ['aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee'],
    partitions: new Int32Array([0, 0]),
    batches: table,
  };
}

it('sums up extents and object, whatever the sizes of the batches', () => {
  const valueBytes = fc.oneof(
    fc.integer({ min: 1, max: 2_000 }),
    fc.integer({ max: 80 * KiB, min: 20 * KiB }),
  );
  fc.assert(
    fc.property(fc.array(valueBytes, { minLength: 1, maxLength: 6 }), (sizes) => {
      const batches = sizes.map(batchOf);
      const built = buildSegment(jobOf(batches), 4096);
      const object = Buffer.concat(built.chunks);
      expect(object.length).toBe(built.result.sizeBytes);
      expect(object.length % 4096).toBe(0);
      expect(crc32c(object)).toBe(built.crc32c);
      const decoded = decodeSegmentFooter(object, object.length);
      if (decoded.kind !== 'footer') throw new Error('longer');
      const [extent] = decoded.footer.extents;
      expect(extent?.length).toBe(batches.reduce((sum, { length }) => sum + length, 0));
      expect(extent?.crc32c).toBe(crc32c(Buffer.concat(batches)));
    }),
  );
});
