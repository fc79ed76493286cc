import { readdirSync, readFileSync } from 'node:fs';

/** One process, as Linux' /proc shows it. */
export interface ProcessSnapshot {
  readonly pid: number;
  readonly parentPid: number;
  /** Cut to 15 bytes by the kernel; `postgres` for every process of PostgreSQL. */
  readonly name: string;
  /** Its own, all threads, and that of its children that have ended. */
  readonly cpuSeconds: number;
}

/** The kernel's USER_HZ: the unit of CPU times in /proc, 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

/**
 * The processes below and including `rootPids`. A child that exits leaves its CPU time with its
 * parent, so the sum over the tree never goes back.
 */
export function processTree(rootPids: readonly number[]): ProcessSnapshot[] {
  const childrenByParent = new Map<number, ProcessSnapshot[]>();
  const tree: ProcessSnapshot[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const snapshot = readProcess(Number(name));
    if (snapshot === undefined) continue;
    if (rootPids.includes(snapshot.pid)) tree.push(snapshot);
    const siblings = childrenByParent.get(snapshot.parentPid) ?? [];
    siblings.push(snapshot);
    childrenByParent.set(snapshot.parentPid, siblings);
  }
  for (const each of tree) {
    const children = childrenByParent.get(each.pid) ?? [];
    tree.push(...children.filter(({ pid }) => !rootPids.includes(pid)));
  }
  return tree;
}

/** CPU seconds of the children of this process that have ended, and of theirs. */
export function endedChildrenCpuSeconds(): number {
  const fields = statFields('/proc/self/stat');
  return fields === undefined ? 0 : sumTicks(fields, 2, 4) / ticksPerSecond;
}

/** The most memory that a process had resident since the last reset, or since it began. */
export function peakResidentBytes(pid: number): number {
  return kilobytesField(`/proc/${pid}/status`, 'VmHWM') * 1024;
}

/** What a process has resident now. */
export function residentBytes(pid: number): number {
  return kilobytesField(`/proc/${pid}/status`, 'VmRSS') * 1024;
}

/** Its share of the memory it uses: what n processes share counts 1/n for each. */
export function proportionalResidentBytes(pid: number): number {
  return kilobytesField(`/proc/${pid}/smaps_rollup`, 'Pss') * 1024;
}

function readProcess(pid: number): ProcessSnapshot | undefined {
  const fields = statFields(`/proc/${pid}/stat`);
  if (fields === undefined) return undefined;
  return {
    pid,
    parentPid: Number(fields.rest[1]),
    name: fields.name,
    cpuSeconds: sumTicks(fields, 0, 4) / ticksPerSecond,
  };
}

interface StatFields {
  readonly name: string;
  /** From the third field (`state`) on. */
  readonly rest: readonly string[];
}

/** The name is in parentheses and may itself contain spaces and parentheses. */
function statFields(file: string): StatFields | undefined {
  const text = readProcFile(file);
  if (text === undefined) return undefined;
  const nameStart = text.indexOf('(');
  const nameEnd = text.lastIndexOf(')');
  return {
    name: text.slice(nameStart + 1, nameEnd),
    rest: text.slice(nameEnd + 2).split(' '),
  };
}

/** utime, stime, cutime and cstime stand side by side. */
function sumTicks({ rest }: StatFields, from: number, to: number): number {
  const utimeIndex = 11;
  return rest
    .slice(utimeIndex + from, utimeIndex + to)
    .reduce((sum, field) => sum + Number(field), 0);
}

function kilobytesField(file: string, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readProcFile(file) ?? '');
  return Number(match?.[1] ?? 0);
}

/** Undefined when the process has ended meanwhile. */
function readProcFile(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
