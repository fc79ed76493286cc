import { isIdle, shortUrl, type CpuProfile, type ProfileNode } from './cpu-profile.js';

/** Calls of one function by one path of callers, over all samples. */
export interface Frame {
  readonly name: string;
  /** Where it is from: `front`, `ingest`, `node_modules/postgres`, `node`, `native`. */
  readonly origin: string;
  /** With file and line. */
  readonly place: string;
  /** Of it and all that it called. */
  microseconds: number;
  readonly callees: Map<string, Frame>;
}

export function emptyFrame(name: string): Frame {
  return { name, origin: 'all', place: name, microseconds: 0, callees: new Map() };
}

/** Adds the busy time of a thread below `root`. Paths that differ only in V8's own nodes are one. */
export function addProfile(root: Frame, { nodes, samples, timeDeltas }: CpuProfile): void {
  const selfTimes = new Map<number, number>();
  samples.forEach((id, index) => {
    selfTimes.set(id, (selfTimes.get(id) ?? 0) + (timeDeltas[index] ?? 0));
  });
  const nodesById = new Map(nodes.map((node) => [node.id, node]));
  const add = (node: ProfileNode, into: Frame): number => {
    if (isIdle(node) && node.callFrame.functionName !== '(root)') return 0;
    const frame = node.callFrame.functionName === '(root)' ? into : calleeOf(into, node);
    let microseconds = frame === into ? 0 : (selfTimes.get(node.id) ?? 0);
    for (const child of node.children ?? []) {
      const callee = nodesById.get(child);
      if (callee !== undefined) microseconds += add(callee, frame);
    }
    frame.microseconds += microseconds;
    return microseconds;
  };
  const [top] = nodes;
  if (top !== undefined) add(top, root);
}

function calleeOf(caller: Frame, { callFrame }: ProfileNode): Frame {
  const { functionName, lineNumber, url } = callFrame;
  const name = functionName === '' ? '(anonymous)' : functionName;
  const key = `${name} ${url}:${lineNumber}`;
  const known = caller.callees.get(key);
  if (known !== undefined) return known;
  const path = shortUrl(url);
  const place = path === '' ? name : `${name} ${path}:${lineNumber + 1}`;
  const callee = { name, origin: originOf(path), place, microseconds: 0, callees: new Map() };
  caller.callees.set(key, callee);
  return callee;
}

function originOf(path: string): string {
  if (path === '') return 'native';
  if (path.startsWith('node:')) return 'node';
  const [top = '', second = '', third = ''] = path.split('/');
  if (top !== 'node_modules') return second;
  return second.startsWith('@') ? `${second}/${third}` : second;
}
