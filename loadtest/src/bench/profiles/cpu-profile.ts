import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What V8 writes: samples of a tree of calls (`--cpu-prof`). */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  /** Node ids, one per sample, and the microseconds before each. */
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
  /** Microseconds by a clock that all threads of a process have in common. */
  readonly startTime: number;
}

export interface ProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    readonly lineNumber: number;
  };
  readonly children?: readonly number[];
}

export interface ThreadProfile {
  readonly file: string;
  readonly isMainThread: boolean;
  readonly profile: CpuProfile;
}

/** Profiles show waiting inside system calls as work: a worker in Atomics.wait is idle. */
const idleNames = new Set(['(idle)', '(root)', 'atomicsWaitLoop']);

export function isIdle({ callFrame }: ProfileNode): boolean {
  return idleNames.has(callFrame.functionName);
}

/**
 * The profiles that `bench:… -- --profile DIR` left, from the first to the last request for records:
 * loading modules and starting PostgreSQL would be a third of a short run.
 */
export function readProfiles(directory: string): ThreadProfile[] {
  const threads = readThreads(directory);
  const main = threads.find(({ isMainThread }) => isMainThread);
  const window = main === undefined ? undefined : requestsWindow(main.profile);
  if (window === undefined) return threads;
  return threads.map((thread) => ({ ...thread, profile: within(thread.profile, window) }));
}

function readThreads(directory: string): ThreadProfile[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((file) => ({
      file,
      // CPU.DATE.TIME.PID.THREAD.SEQUENCE.cpuprofile
      isMainThread: file.split('.').at(-3) === '0',
      profile: JSON.parse(readFileSync(join(directory, file), 'utf8')) as CpuProfile,
    }));
}

/** From its package on: `services/front/dist/x.js`, `node_modules/ws/y.js`, `node:net`. */
export function shortUrl(url: string): string {
  return url.replace(/^.*?\/((?:node_modules|shared|services)\/)/, '$1').replace('/dist/', '/');
}

interface Window {
  readonly fromMicroseconds: number;
  readonly toMicroseconds: number;
}

/** Of a handler of Produce or Fetch. */
const requestPath = /\/services\/(ingest\/dist\/produce|fetch\/dist\/handlers)\//;

/** From the first sample in a handler to the last; undefined when there is none. */
function requestsWindow({ nodes, samples, startTime, timeDeltas }: CpuProfile): Window | undefined {
  // A module that is being loaded is an anonymous function at the top of its file.
  const handlers = new Set(
    nodes
      .filter(({ callFrame: { functionName, url } }) => functionName && requestPath.test(url))
      .map(({ id }) => id),
  );
  let window: Window | undefined;
  let nowMicroseconds = startTime;
  samples.forEach((id, index) => {
    nowMicroseconds += timeDeltas[index] ?? 0;
    if (!handlers.has(id)) return;
    const fromMicroseconds = window?.fromMicroseconds ?? nowMicroseconds;
    window = { fromMicroseconds, toMicroseconds: nowMicroseconds };
  });
  return window;
}

function within(profile: CpuProfile, window: Window): CpuProfile {
  const samples: number[] = [];
  const timeDeltas: number[] = [];
  let nowMicroseconds = profile.startTime;
  profile.samples.forEach((id, index) => {
    const delta = profile.timeDeltas[index] ?? 0;
    nowMicroseconds += delta;
    if (nowMicroseconds < window.fromMicroseconds) return;
    if (nowMicroseconds > window.toMicroseconds) return;
    samples.push(id);
    timeDeltas.push(delta);
  });
  return { ...profile, samples, timeDeltas };
}
