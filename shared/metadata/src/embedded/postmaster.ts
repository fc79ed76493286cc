import { readFile, readlink, rename, rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { invariant, OperatingError } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { ClusterFiles } from './cluster-files.js';
import { runProgram } from './process-runner.js';
import { embeddedLimits } from './types.js';
import type { StopMode } from './types.js';

/** A server process that was verified to serve our cluster. */
export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  readonly state: 'starting' | 'ready' | 'stopping';
}

/**
 * The server that serves this cluster now, if any. A `postmaster.pid` that names no process, or a
 * process that is something else (the number was reused), counts as none.
 */
export async function findPostmaster(files: ClusterFiles): Promise<Postmaster | undefined> {
  const recorded = await readPidFile(files);
  if (recorded === undefined) return undefined;
  return (await isPostmaster(recorded.pid, files.pgDataDir)) ? recorded : undefined;
}

/**
 * PostgreSQL itself refuses to start while the recorded process id is alive, whoever has it now,
 * so a stale file is moved away. Another process may start a server between our look and the move;
 * the file that was moved tells, and goes back (the server looks for it once a minute).
 */
export async function removeStalePidFile(files: ClusterFiles): Promise<void> {
  const stale = await readFile(files.pidPath, 'utf8').catch(() => undefined);
  if (stale === undefined) return;
  const recorded = parsePidFile(stale);
  if (recorded && (await isPostmaster(recorded.pid, files.pgDataDir))) return;
  const aside = `${files.pidPath}.${process.pid}.stale`;
  try {
    await rename(files.pidPath, aside);
  } catch {
    return; // Somebody else did it.
  }
  if ((await readFile(aside, 'utf8')) === stale) await rm(aside, { force: true });
  else await rename(aside, files.pidPath);
}

/** Asks the server to stop, waits, asks harder. Returns once it is gone; EMBEDDED_POSTGRES_BUSY. */
export async function stopPostmaster(
  pid: number,
  files: ClusterFiles,
  options: { readonly mode: StopMode; readonly clock: Clock },
): Promise<void> {
  const steps: readonly (readonly [NodeJS.Signals, number])[] = [
    ...(options.mode === 'fast' ? [['SIGINT', embeddedLimits.fastStopMsMax] as const] : []),
    ['SIGQUIT', embeddedLimits.immediateStopMsMax],
    ['SIGKILL', embeddedLimits.immediateStopMsMax],
  ];
  for (const [signal, waitMs] of steps) {
    if (!(await isPostmaster(pid, files.pgDataDir))) return;
    sendSignal(pid, signal);
    if (await waitUntilGone(pid, files, options.clock.monotonicMs() + waitMs, options.clock)) {
      return;
    }
  }
  throw new OperatingError(
    'EMBEDDED_POSTGRES_BUSY',
    `the embedded PostgreSQL (process ${pid}) in ${files.dataDir} does not end`,
  );
}

/** Whether the process ended by the deadline (monotonic milliseconds). */
export async function waitUntilGone(
  pid: number,
  files: ClusterFiles,
  deadlineMs: number,
  clock: Clock,
): Promise<boolean> {
  while (await isPostmaster(pid, files.pgDataDir)) {
    if (clock.monotonicMs() >= deadlineMs) return false;
    await delay(embeddedLimits.pollMs);
  }
  return true;
}

export async function readPidFile(files: ClusterFiles): Promise<Postmaster | undefined> {
  return parsePidFile(await readFile(files.pidPath, 'utf8').catch(() => ''));
}

/** Lines: process id, data dir, start time, port, socket dir, address, shared memory, state. */
export function parsePidFile(text: string): Postmaster | undefined {
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  const port = Number(lines[3] ?? '');
  if (!Number.isSafeInteger(pid) || pid <= 1) return undefined;
  const status = (lines[7] ?? '').trim();
  const state = status === 'ready' || status === 'stopping' ? status : 'starting';
  return { pid, port: Number.isSafeInteger(port) ? port : 0, state };
}

/**
 * Whether `pid` is the server process of this cluster, by its command line, and where the system
 * shows it also by its working directory, which for a server is its data dir. A zombie shows
 * neither.
 */
async function isPostmaster(pid: number, pgDataDir: string): Promise<boolean> {
  invariant(pid > 1, 'a signal to process 0, 1 or a group is never meant');
  if (process.platform !== 'linux') return await isPostmasterByPs(pid, pgDataDir);
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const [program = '', ...args] = commandLine.split('\0');
  if (basename(program) !== 'postgres' || args[0] !== '-D') return false;
  const workingDir = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
  // The command line holds the path of the launch; the folder may have been moved since.
  return (workingDir ?? args[1]) === pgDataDir || args[1] === pgDataDir;
}

async function isPostmasterByPs(pid: number, pgDataDir: string): Promise<boolean> {
  const result = await runProgram(['ps', '-ww', '-o', 'command=', '-p', String(pid)], {
    timeoutMs: 5_000,
  });
  return result.code === 0 && result.output.includes(`/postgres -D ${pgDataDir} `);
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It ended in between, which is what the signal was for.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
