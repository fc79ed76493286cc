import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What V8 writes: samples of a tree of calls (`--cpu-prof`). */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  /** Node ids, one per sample, and the microseconds before each. */
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
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

/** The profiles that `bench:… -- --profile DIR` left. */
export function readProfiles(directory: string): ThreadProfile[] {
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
