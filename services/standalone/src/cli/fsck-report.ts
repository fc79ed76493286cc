import { explanations } from '@kafscale/coordinator';
import type { CheckReport, Explanation, Problem } from '@kafscale/coordinator';
import { findingLines, plural, time } from './report-text.js';

export function formatCheckReport(report: CheckReport): string {
  const lines = [...summary(report), ...explained(report), ...problems(report)];
  lines.push(report.isSound ? 'Nothing is wrong.' : 'Something is wrong.');
  return lines.map((line) => `${line}\n`).join('');
}

function summary({ index, isDeep, objects, sound, state }: CheckReport): string[] {
  const batches = isDeep ? `, batches read: ${sound.batches}` : '';
  return [
    `cluster ${state.clusterId}  incarnation ${state.incarnation}  ${plural(state.topics, 'topic')}  ${plural(state.partitions, 'partition')}  ${plural(state.extents + state.coldExtents, 'extent')}${state.coldExtents === 0 ? '' : `, ${state.coldExtents} of them in cold ranges`}`,
    `${plural(objects.objects, 'object')}, ${objects.bytes} bytes`,
    `${plural(sound.objects, 'object')} as the index says: ${plural(sound.extents, 'extent')}, ${sound.bytes} bytes${batches}`,
    index.databaseTimeMs === null
      ? 'no index in the bucket'
      : `index in the bucket: snapshot ${index.snapshotSequence ?? '-'}, up to entry ${index.lastSequence ?? '-'} of ${time(index.databaseTimeMs)}`,
  ];
}

function explained(report: CheckReport): string[] {
  const names = Object.keys(explanations) as Explanation[];
  return names.flatMap((name) => {
    const { bytes, objects } = report.explained[name];
    if (objects === 0) return [];
    return [`${plural(objects, 'object')} (${bytes} bytes) ${name}: ${explanations[name]}`];
  });
}

function problems(report: CheckReport): string[] {
  const { index, problems: found, wrongCounts, wrongOffsets } = report;
  const lines: string[] = [];
  if (found.total > 0) lines.push('', `${plural(found.total, 'problem')} with objects:`);
  lines.push(...found.items.slice(0, 100).flatMap(problemLines));
  if (found.total > 100) lines.push(`  … and ${found.total - 100} more`);
  if (wrongOffsets.total > 0) lines.push('', 'Offsets that are not in exactly one index row:');
  lines.push(
    ...findingLines(
      wrongOffsets,
      (item) =>
        `${item.topic}-${item.partitionIndex}  ${item.kind} from ${item.from} to ${item.to - 1}`,
    ),
  );
  if (wrongCounts.total > 0) lines.push('', 'Segments whose count of index rows is wrong:');
  lines.push(
    ...findingLines(
      wrongCounts,
      (item) =>
        `${item.segmentId}  ${item.counted === null ? 'no row' : `counts ${item.counted}`}, has ${item.found}`,
    ),
  );
  if (index.problems.length > 0) lines.push('', 'The index in the bucket:');
  lines.push(...index.problems.map((problem) => `  ${problem}`));
  return lines.length === 0 ? [] : [...lines, ''];
}

function problemLines({ key, kind, ranges, reason }: Problem): string[] {
  const shown = { total: ranges.length, items: ranges };
  return [
    `  ${kind}  ${key ?? '-'}: ${reason}`,
    ...findingLines(
      shown,
      (range) =>
        `    ${range.topic}-${range.partitionIndex}  offsets ${range.baseOffset} to ${range.nextOffset - 1}`,
      10,
    ),
  ];
}
