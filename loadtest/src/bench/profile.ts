import { invariant } from '@kafscale/core';
import { markdownTable } from './framework/markdown-table.js';
import { isIdle, readProfiles, type CpuProfile, type ProfileNode } from './profiles/cpu-profile.js';

/**
 * Where the time went, per thread, in the CPU profiles that `bench:… -- --profile DIR` leaves:
 * `node loadtest/dist/bench/profile.js DIR [COUNT]`. What Node itself does counts for whoever called
 * it. `flame-graph.js` draws the same.
 */
type Seconds = Map<string, number>;

function main(directory: string, count: number): void {
  for (const { file, profile } of readProfiles(directory)) {
    const { byFunction, byPackage } = selfTimes(profile);
    const busySeconds = [...byPackage.values()].reduce((sum, each) => sum + each, 0);
    console.log(`### ${file}: ${busySeconds.toFixed(1)} s busy\n`);
    console.log(`${topOf('package', byPackage, busySeconds, count)}\n`);
    console.log(`${topOf('function', byFunction, busySeconds, count)}\n`);
  }
}

function topOf(heading: string, times: Seconds, busySeconds: number, count: number): string {
  const rows = [...times]
    .toSorted(([, left], [, right]) => right - left)
    .slice(0, count)
    .map(([name, seconds]) => [
      name,
      seconds.toFixed(2),
      `${((seconds / busySeconds) * 100).toFixed(1)} %`,
    ]);
  return markdownTable([heading, 's', 'of busy'], rows);
}

function selfTimes({ nodes, samples, timeDeltas }: CpuProfile): {
  readonly byFunction: Seconds;
  readonly byPackage: Seconds;
} {
  const nodesById = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(
    nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node] as const)),
  );
  const byFunction: Seconds = new Map();
  const byPackage: Seconds = new Map();
  samples.forEach((id, index) => {
    const node = nodesById.get(id);
    invariant(node !== undefined, 'a sample is of a node');
    if (isIdle(node)) return;
    const seconds = (timeDeltas[index] ?? 0) / 1e6;
    const caller = ownCaller(node, parents);
    add(byFunction, functionName(node, caller), seconds);
    add(byPackage, caller?.callFrame.url.split('/')[0] ?? node.callFrame.functionName, seconds);
  });
  return { byFunction, byPackage };
}

/** The nearest frame that is neither Node's nor native, with the path from its package on. */
function ownCaller(
  node: ProfileNode,
  parentOf: ReadonlyMap<number, ProfileNode>,
): ProfileNode | undefined {
  let at: ProfileNode | undefined = node;
  while (at !== undefined && !at.callFrame.url.startsWith('file:')) at = parentOf.get(at.id);
  if (at === undefined) return undefined;
  const url = at.callFrame.url.replace(/^.*\/(node_modules|shared|services)\//, '');
  return { ...at, callFrame: { ...at.callFrame, url } };
}

function functionName(node: ProfileNode, caller: ProfileNode | undefined): string {
  const { functionName: name } = node.callFrame;
  if (caller === undefined) return name;
  const { functionName: callerName, lineNumber, url } = caller.callFrame;
  const place = `${callerName || '(anonymous)'} ${url}:${lineNumber + 1}`;
  return caller.id === node.id ? place : `${name} ← ${place}`;
}

function add(times: Seconds, name: string, seconds: number): void {
  times.set(name, (times.get(name) ?? 0) + seconds);
}

main(process.argv[2] ?? '.', Number(process.argv[3] ?? 15));
