import type { RecoverReport, SegmentAfter } from '@kafscale/coordinator';
import type { RangeFinding } from '@kafscale/metadata';
import { findingLines, plural, time } from './report-text.js';
import { formatTable } from './table.js';

const headsShownMax = 50;

export function formatRecoverReport(report: RecoverReport): string {
  return [
    ...summary(report),
    ...notRecovered(report),
    ...cameAfter(report),
    ...heads(report),
    report.isDryRun ? '\nDry run: nothing was written.\n' : '\nDone. Start the servers.\n',
  ].join('');
}

function summary(report: RecoverReport): string[] {
  const { from } = report;
  const did = report.isDryRun ? 'would be recovered' : 'recovered';
  const lines = [
    `cluster ${report.clusterId} ${did} as incarnation ${report.incarnation}`,
    `  from incarnation ${from.incarnation}, snapshot ${from.snapshotSequence}, up to entry ${from.lastSequence} of ${time(from.databaseTimeMs)}`,
    `  ${plural(report.topics, 'topic')}, ${plural(report.partitions, 'partition')}, ${plural(report.extents, 'extent')} in ${plural(report.segments, 'segment')}, ${report.sizeBytes} bytes`,
    `  ${plural(report.groups, 'group')} with ${plural(report.groupOffsets, 'offset')}, ${plural(report.producers, 'producer state')}`,
    `  leader epochs rise by ${report.incarnation - from.incarnation}; producer ids go on from ${report.producerIdsFrom}`,
  ];
  return lines.map((line) => `${line}\n`);
}

function notRecovered(report: RecoverReport): string[] {
  const { clampedOffsets, damage, gaps, lostBeginnings, lostColdRanges, lostRanges } = report;
  const parts = [
    ...section('What of the index could not be used:', {
      total: damage.length,
      items: damage.map(
        (item) =>
          `${item.kind} ${item.sequence} of incarnation ${item.incarnation}: ${item.reason} [${item.code}]`,
      ),
    }),
    ...section('Pieces of the index whose objects could not be read:', {
      total: lostColdRanges.length,
      items: lostColdRanges.map(
        (item) =>
          `partition id ${item.partitionId}  offsets ${item.baseOffset} to ${item.nextOffset - 1}: ${item.key}: ${item.reason} [${item.code}]`,
      ),
    }),
    ...ranges('Logs that begin later, because their first objects are gone:', lostBeginnings),
    ...ranges('Ranges whose objects are gone; reading them fails:', lostRanges),
    ...ranges('Offsets that nothing in the index covers:', gaps),
    ...section('Committed offsets beyond the end of a log, set back to its end:', {
      total: clampedOffsets.total,
      items: clampedOffsets.items.map(
        (item) =>
          `group ${JSON.stringify(item.groupId)}  ${item.topic}-${item.partitionIndex}  ${item.committedOffset} → ${item.endOffset}`,
      ),
    }),
  ];
  return parts.length === 0 ? ['\nEverything up to that entry is there.\n'] : parts;
}

function ranges(
  title: string,
  findings: { readonly total: number; readonly items: readonly RangeFinding[] },
): string[] {
  const items = findings.items.map(
    (item) =>
      `${item.topic}-${item.partitionIndex}  offsets ${item.baseOffset} to ${item.nextOffset - 1}` +
      (item.segmentId === null ? '' : `  segment ${item.segmentId}`),
  );
  return section(title, { total: findings.total, items });
}

function section(
  title: string,
  findings: { readonly total: number; readonly items: readonly string[] },
): string[] {
  if (findings.total === 0) return [];
  return [`\n${title}\n`, ...findingLines(findings, (line) => line).map((line) => `${line}\n`)];
}

function cameAfter(report: RecoverReport): string[] {
  const { cameAfter: segments, leftovers } = report;
  const lines: string[] = [];
  if (segments.length > 0) {
    lines.push('\nWhat came after (in no manifest; left alone, and not in the log):\n');
    const items = segments.flatMap(segmentLines);
    lines.push(
      ...findingLines({ total: items.length, items }, (line) => line, 200).map(
        (line) => `${line}\n`,
      ),
    );
  }
  if (leftovers.segments > 0) {
    lines.push(
      `\nOlder objects that nothing refers to: ${leftovers.segments} (${leftovers.bytes} bytes), garbage and orphans of before.\n`,
    );
  }
  return lines;
}

function segmentLines(segment: SegmentAfter): string[] {
  const { content, key, problem, sizeBytes } = segment;
  if (content === null) return [`${key}  ${sizeBytes} bytes  ${problem ?? ''}`];
  return [
    `${key}  ${sizeBytes} bytes  node ${content.nodeId}  born ${time(content.birthMs)}`,
    ...content.extents.map(
      (extent) =>
        `  topic ${extent.topicId}  partition ${extent.partitionIndex}  ${plural(extent.recordCount, 'record')}  ${time(extent.firstTimestampMs)} to ${time(extent.maxTimestampMs)}`,
    ),
  ];
}

function heads(report: RecoverReport): string[] {
  if (report.heads.length === 0) return [];
  const shown = report.heads.slice(0, headsShownMax);
  const rows = shown.map((head) => [
    `${head.topic}-${head.partitionIndex}`,
    String(head.logStartOffset),
    String(head.nextOffset),
    String(head.leaderEpoch),
  ]);
  const more = report.heads.length - shown.length;
  return [
    '\n',
    formatTable(['PARTITION', 'START', 'END', 'LEADER EPOCH'], rows),
    more > 0 ? `… and ${more} more; --json has them all\n` : '',
  ];
}
