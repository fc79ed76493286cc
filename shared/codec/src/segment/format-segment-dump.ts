import { describeError, isOperatingError } from '@kafscale/core';
import { compressionCodecs } from '../batch/batch-header.js';
import { type DecodedRecord, decodeRecords } from '../batch/decode-records.js';
import {
  readExtentBatches,
  readSegmentFooter,
  type SegmentBatch,
  type SegmentReader,
} from './read-segment.js';
import type { SegmentExtent, SegmentFooter } from './segment-footer.js';

export interface SegmentDumpOptions {
  /** Also the batches and records of every extent, with their checksums checked. */
  readonly records: boolean;
}

/**
 * The text of `segment dump`, line by line, without line ends. Throws as decodeSegmentFooter when
 * the footer can't be read; what is wrong with a batch becomes a line and the dump goes on with
 * the next extent.
 */
export async function* formatSegmentDump(
  reader: SegmentReader,
  options: SegmentDumpOptions,
): AsyncGenerator<string, void> {
  const footer = await readSegmentFooter(reader);
  yield* formatFooter(footer, reader.sizeBytes);
  for (const extent of footer.extents) {
    yield formatExtent(extent);
    if (options.records) yield* formatBatches(reader, extent);
  }
}

function* formatFooter(footer: SegmentFooter, sizeBytes: number): Generator<string> {
  const { writer, extents } = footer;
  yield `segment ${writer.segmentId}  format v1  ${sizeBytes} bytes  ${extents.length} extents`;
  if (footer.batchIndex) yield `index   ${footer.batchIndex.length} parts of large extents`;
  yield `writer  node ${writer.nodeId}  incarnation ${writer.incarnation}  born ${time(writer.birthMs)}  ${writer.softwareVersion}`;
}

function formatExtent(extent: SegmentExtent): string {
  const offset = extent.baseOffset === null ? '' : `  base offset ${extent.baseOffset}`;
  return (
    `extent  topic ${extent.topicId}  partition ${extent.partitionIndex}` +
    `  bytes ${extent.position}+${extent.length}  batches ${extent.batchCount}` +
    `  records ${extent.recordCount}  first ${time(extent.firstTimestampMs)}` +
    `  max ${time(extent.maxTimestampMs)}  crc32c ${hex(extent.crc32c)}${offset}`
  );
}

async function* formatBatches(
  reader: SegmentReader,
  extent: SegmentExtent,
): AsyncGenerator<string> {
  const batches = readExtentBatches(reader, extent);
  try {
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop
      const step = await batches.next();
      if (step.done === true) {
        if (!step.value) yield '  ! the extent does not match its crc32c';
        return;
      }
      yield formatBatch(step.value);
      yield* formatRecords(step.value);
    }
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    yield `  ! ${error.code}: ${describeError(error)}`;
  }
}

function formatBatch(batch: SegmentBatch): string {
  const { header } = batch;
  const codec = Object.entries(compressionCodecs).find(
    ([, code]) => code === header.compressionCodec,
  );
  const producer =
    header.producerId === -1
      ? ''
      : `  producer ${header.producerId} epoch ${header.producerEpoch} sequence ${header.baseSequence}`;
  const flags = [
    header.isLogAppendTime ? '  append time' : '',
    header.isTransactional ? '  transactional' : '',
    header.isControl ? '  control' : '',
  ].join('');
  return (
    `  batch  byte ${batch.position}  ${header.sizeBytes} bytes  base offset ${header.baseOffset}` +
    `  records ${header.recordCount}  ${codec?.[0] ?? `codec ${header.compressionCodec}`}` +
    `  max ${time(header.maxTimestampMs)}${producer}${flags}` +
    `  crc ${hex(header.crc)} ${batch.crcMatches ? 'ok' : 'WRONG'}`
  );
}

async function* formatRecords(batch: SegmentBatch): AsyncGenerator<string> {
  try {
    const { header, records } = await decodeRecords(batch.bytes);
    for (const record of records) yield formatRecord(record, header.baseOffset);
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    yield `    ! ${error.code}: ${describeError(error)}`;
  }
}

function formatRecord(record: DecodedRecord, baseOffset: number): string {
  const headers = record.headers.map(({ key, value }) => ` ${JSON.stringify(key)}=${text(value)}`);
  return (
    `    record ${baseOffset + record.offsetDelta}  ${time(record.timestampMs)}` +
    `  key ${text(record.key)}  value ${text(record.value)}${headers.join('')}`
  );
}

/** JSON text, so that no record can send control characters to a terminal. */
function text(bytes: Buffer | null): string {
  if (bytes === null) return 'null';
  // JSON leaves DEL and the C1 controls as they are; a terminal does not.
  return JSON.stringify(bytes.toString('utf8')).replaceAll(
    /[\u007f-\u009f\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function time(milliseconds: number): string {
  if (milliseconds === -1) return '-';
  const date = new Date(milliseconds);
  return Number.isNaN(date.getTime()) ? String(milliseconds) : date.toISOString();
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}
