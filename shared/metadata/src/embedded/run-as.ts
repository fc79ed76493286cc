import { chmod, chown, lchown, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OperatingError } from '@kafscale/core';
import type { PostgresBinaries } from './binaries.js';
import { runProgram } from './process-runner.js';

/**
 * How the server's programs are started. PostgreSQL refuses to run as root, so root needs one of:
 *
 * - a user namespace in which root is called user 1000. Files stay root's, so this works in every
 *   folder of root's own, 0700 ones under /root included. Containers often forbid it;
 * - another user, to whom the cluster's folder is given. Works where that user can reach it.
 */
export interface RunAs {
  /** For the log. */
  readonly description: string;
  /** Goes before the program. */
  readonly prefix: readonly string[];
  /** Absent: the user that we are. */
  readonly uid?: number;
  readonly gid?: number;
}

const ourselves: RunAs = { description: 'the current user', prefix: [] };
const userNamespace: RunAs = {
  description: 'root, renamed by a user namespace',
  prefix: ['unshare', '--user', '--map-user=1000', '--'],
};

/**
 * Picks the first way that works in `dataDir`, by trying each with the server's own binary.
 * Fails with EMBEDDED_POSTGRES_ROOT. Not root: nothing to pick.
 */
export async function chooseRunAs(
  binaries: PostgresBinaries,
  dataDir: string,
  clusterDir: string,
): Promise<RunAs> {
  if (process.getuid?.() !== 0) return ourselves;
  const refusals: string[] = [];
  for (const candidate of await listCandidates(dataDir, clusterDir)) {
    const refusal = await tryCandidate(candidate, binaries, dataDir);
    if (refusal === undefined) return candidate;
    refusals.push(`as ${candidate.description}: ${refusal}`);
  }
  throw new OperatingError(
    'EMBEDDED_POSTGRES_ROOT',
    `PostgreSQL refuses to run as root and no other way works in ${dataDir} ` +
      `(${refusals.join('; ')}): start as another user, use another data dir, ` +
      'or set KAFSCALE_METADATA_URL',
  );
}

/** Gives `path` and all below it to the user that the server runs as. Links are not followed. */
export async function giveTo(runAs: RunAs, path: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const uid = runAs.uid ?? 0;
  const gid = runAs.gid ?? 0;
  await lchown(path, uid, gid);
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    await lchown(join(entry.parentPath, entry.name), uid, gid);
  }
}

/** Whether the cluster's files belong to another user than the one that the server runs as. */
export async function belongsToAnother(runAs: RunAs, path: string): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  return (await stat(path)).uid !== (runAs.uid ?? 0);
}

async function listCandidates(dataDir: string, clusterDir: string): Promise<RunAs[]> {
  const candidates: RunAs[] = [];
  // A cluster that some user's own run has made stays that user's.
  const clusterOwner = await stat(clusterDir).catch(() => undefined);
  if (clusterOwner !== undefined && clusterOwner.uid !== 0) {
    candidates.push(asUser(clusterOwner.uid, clusterOwner.gid));
  }
  if (process.platform === 'linux') candidates.push(userNamespace);
  // Root in a user's private folder (sudo): renamed root can't pass that folder, its owner can.
  for (let path = dataDir; path !== dirname(path); path = dirname(path)) {
    const owner = await stat(path);
    if (owner.uid === 0) continue;
    candidates.push(asUser(owner.uid, owner.gid));
    break;
  }
  candidates.push(...(await listSystemUsers()));
  return candidates;
}

async function listSystemUsers(): Promise<RunAs[]> {
  const accounts = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const users: RunAs[] = [];
  for (const name of ['postgres', 'nobody']) {
    const account = new RegExp(`^${name}:[^:]*:(\\d+):(\\d+):`, 'm').exec(accounts);
    if (account) users.push(asUser(Number(account[1]), Number(account[2]), name));
  }
  return users;
}

function asUser(uid: number, gid: number, name = `user ${uid}`): RunAs {
  return { description: name, prefix: [], uid, gid };
}

/** Writes a file in a folder made for the purpose and loads the server's binary and libraries. */
async function tryCandidate(
  candidate: RunAs,
  binaries: PostgresBinaries,
  dataDir: string,
): Promise<string | undefined> {
  const probeDir = await mkdtemp(join(dataDir, 'probe-'));
  try {
    if (candidate.uid !== undefined && candidate.gid !== undefined) {
      await chown(probeDir, candidate.uid, candidate.gid);
      // Passable, not readable: what is inside is closed by its own mode.
      await chmod(dataDir, 0o711);
    }
    const script = 'cd "$1" && : > probe && exec "$2" --version';
    const result = await runProgram(
      [...candidate.prefix, 'sh', '-c', script, 'sh', probeDir, binaries.postgres],
      { ...candidate, timeoutMs: 10_000 },
    );
    return result.code === 0 ? undefined : (result.output.split('\n')[0] ?? 'failed');
  } finally {
    await rm(probeDir, { recursive: true, force: true });
  }
}
