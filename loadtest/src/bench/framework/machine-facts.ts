import { execFileSync, spawnSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';

/** What figures mean nothing without. */
export interface MachineFacts {
  readonly date: string;
  readonly commit: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGigabytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly java: string;
  /** Over the minute before the benchmark: above 0 means that others used the machine too. */
  readonly loadBefore: number;
}

export function machineFacts(now: Date): MachineFacts {
  const processors = cpus();
  return {
    date: now.toISOString().slice(0, 16).replace('T', ' ') + ' UTC',
    commit: commitName(),
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryGigabytes: Math.round(totalmem() / 1e9),
    kernel: release(),
    node: process.version,
    java: javaVersion(),
    loadBefore: loadavg()[0] ?? 0,
  };
}

export function describeMachine(facts: MachineFacts): string {
  return [
    `${facts.date}, commit ${facts.commit}`,
    `${facts.cores} cores (${facts.cpu}), ${facts.memoryGigabytes} GB, Linux ${facts.kernel}`,
    `Node ${facts.node}, Java ${facts.java}`,
    `load average before: ${facts.loadBefore.toFixed(2)}`,
  ].join('\n');
}

function commitName(): string {
  try {
    const options = { encoding: 'utf8', cwd: import.meta.dirname } as const;
    const hash = execFileSync('git', ['rev-parse', '--short', 'HEAD'], options).trim();
    const changed = execFileSync('git', ['status', '--porcelain', '-uno'], options).trim();
    return changed === '' ? hash : `${hash} with changes`;
  } catch {
    return 'unknown';
  }
}

function javaVersion(): string {
  const { stderr } = spawnSync('java', ['-version'], { encoding: 'utf8' });
  return /version "([^"]+)"/.exec(stderr ?? '')?.[1] ?? 'unknown';
}
