import { compressionCodecs } from '@kafscale/codec';
import { explainOffset } from '@kafscale/coordinator';
import type { ExplainedBatch, OffsetExplanation } from '@kafscale/coordinator';
import type { Command, CommandContext } from './command.js';
import { plural, time } from './report-text.js';
import { usageError } from './usage-error.js';
import { withStores } from './with-stores.js';

export const explainCommand: Command = {
  name: 'explain',
  summary: 'say where a record is: object, bytes, batch, commit, producer, checksums',
  usage: 'TOPIC PARTITION OFFSET',
  positionals: { min: 3, max: 3 },
  configCommand: 'explain',
  flags: [{ name: 'json', kind: 'switch', description: 'print JSON' }],
  run: runExplain,
};

/** Exit code 1 when the record's bytes are not what was written. */
async function runExplain(context: CommandContext): Promise<number> {
  const [topic = '', partition = '', offsetText = ''] = context.positionals;
  const partitionIndex = readNumber('PARTITION', partition);
  const offset = readNumber('OFFSET', offsetText);
  const found = await withStores(context.loaded.config, 'reading', (stores) =>
    explainOffset({ ...stores, topic, partitionIndex, offset }),
  );
  const isSound = found.problem === null && found.batch?.crcMatches === true;
  if (context.flags.get('json') === 'true') {
    context.stdout.write(
      `${JSON.stringify({ topic, partitionIndex, offset, ...found }, null, 2)}\n`,
    );
    return isSound ? 0 : 1;
  }
  const lines = [
    `record     offset ${offset} of ${topic}-${partitionIndex}  topic ${found.located.topicId}  partition id ${found.located.partitionId}`,
    ...explanationLines(found, context.loaded.config.storeUrl),
  ];
  context.stdout.write(lines.map((line) => `${line}\n`).join(''));
  return isSound ? 0 : 1;
}

function explanationLines(found: OffsetExplanation, storeUrl: string): string[] {
  const { extent, segment } = found.located;
  const { extentCrcMatches, writer, writtenExtent } = found;
  const lines = [
    `object     ${storeUrl.replace(/\/$/, '')}/${found.key}  ${segment.sizeBytes} bytes${segment.isCompacted ? '  merged' : ''}`,
    `extent     bytes ${extent.position}+${extent.length}  offsets ${extent.baseOffset} to ${extent.nextOffset - 1}` +
      (extent.skippedBatches.length === 0
        ? ''
        : `  without batches ${extent.skippedBatches.join(', ')} (refused or duplicates)`),
    `commit     ${time(segment.committedAtMs)}  node ${segment.nodeId}  incarnation ${segment.incarnation}  born ${time(segment.birthMs)}`,
  ];
  if (writer !== null) {
    lines.push(
      `written    by ${writer.softwareVersion}  node ${writer.nodeId}  incarnation ${writer.incarnation}`,
    );
  }
  if (writtenExtent !== null) {
    lines.push(
      `footer     ${plural(writtenExtent.recordCount, 'record')}, batches ${writtenExtent.batchCount}  crc32c ${hex(writtenExtent.crc32c)} ${verdict(extentCrcMatches)}`,
    );
  }
  if (found.batch !== null) lines.push(...batchLines(found.batch));
  if (found.problem !== null) lines.push(`problem    ${found.problem}`);
  return lines;
}

function batchLines({
  baseOffset,
  crcMatches,
  header,
  ordinal,
  position,
}: ExplainedBatch): string[] {
  const last = baseOffset + header.recordCount - 1;
  const codec = Object.entries(compressionCodecs).find(
    ([, code]) => code === header.compressionCodec,
  );
  const clock = header.isLogAppendTime ? 'append time' : 'create time';
  return [
    `batch      bytes ${position}+${header.sizeBytes}  number ${ordinal} of the extent  offsets ${baseOffset} to ${last}  ${codec?.[0] ?? `codec ${header.compressionCodec}`}  crc ${hex(header.crc)} ${verdict(crcMatches)}`,
    `timestamps ${time(header.firstTimestampMs)} to ${time(header.maxTimestampMs)}  ${clock}`,
    header.producerId < 0
      ? 'producer   not idempotent'
      : `producer   id ${header.producerId}  epoch ${header.producerEpoch}  first sequence ${header.baseSequence}`,
  ];
}

function verdict(matches: boolean | null): string {
  if (matches === null) return 'not checked';
  return matches ? 'ok' : 'WRONG';
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}

function readNumber(name: string, text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : -1;
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw usageError(`${name}: expected a whole number, not "${text}"`);
}
