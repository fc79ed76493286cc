import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { OperatingError } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { PostgresBinaries } from './binaries.js';
import type { ClusterFiles } from './cluster-files.js';
import { readPidFile } from './postmaster.js';
import type { Postmaster } from './postmaster.js';
import { childEnvironment } from './process-runner.js';
import type { RunAs } from './run-as.js';
import { embeddedLimits } from './types.js';

export interface LaunchOptions {
  readonly binaries: PostgresBinaries;
  readonly runAs: RunAs;
  readonly stopWithParent: boolean;
  readonly clock: Clock;
}

/** `busy`: another server, or what is left of one, holds the cluster. `port`: try another port. */
export type LaunchResult =
  | { readonly outcome: 'ready'; readonly postmaster: Postmaster }
  | { readonly outcome: 'busy' | 'port' };

/**
 * Starts a server on a free port and waits until it takes connections. It gets a session of its
 * own, so that a Ctrl-C in the terminal reaches only us and we can flush before we stop it.
 * Fails with EMBEDDED_POSTGRES_FAILED.
 */
export async function launchPostmaster(
  files: ClusterFiles,
  options: LaunchOptions,
): Promise<LaunchResult> {
  const { binaries, runAs, clock } = options;
  const port = await findFreePort();
  const logFile = await files.log.openForAppend();
  const logPosition = await files.log.sizeBytes();
  const [program, ...args] = [
    ...runAs.prefix,
    ...(options.stopWithParent ? parentDeathPrefix() : []),
    binaries.postgres,
    '-D',
    files.pgDataDir,
    '-p',
    String(port),
  ];
  const child = spawn(program, args, {
    cwd: '/',
    detached: true,
    stdio: ['ignore', logFile.fd, logFile.fd],
    env: childEnvironment(),
    ...(runAs.uid === undefined ? {} : { uid: runAs.uid }),
    ...(runAs.gid === undefined ? {} : { gid: runAs.gid }),
  });
  const exit: { reason?: string } = {};
  child.once('error', (error) => (exit.reason = error.message));
  child.once('exit', (code, signal) => (exit.reason = `it ended with ${signal ?? code}`));
  child.unref();
  await logFile.close();

  const deadlineMs = clock.monotonicMs() + embeddedLimits.startMsMax;
  for (;;) {
    if (exit.reason !== undefined) {
      return classifyExit(files, exit.reason, await files.log.readFrom(logPosition));
    }
    const recorded = await readPidFile(files);
    if (recorded?.pid === child.pid && recorded?.state === 'ready') {
      return { outcome: 'ready', postmaster: recorded };
    }
    if (clock.monotonicMs() >= deadlineMs) {
      child.kill('SIGQUIT');
      throw launchFailed(files, `not ready after ${embeddedLimits.startMsMax / 1000} s`);
    }
    await delay(embeddedLimits.pollMs);
  }
}

function classifyExit(files: ClusterFiles, ended: string, output: string): LaunchResult {
  if (/could not bind|could not create any TCP\/IP sockets/.test(output)) {
    return { outcome: 'port' };
  }
  // The second: the last server was killed, and one of its processes has not noticed yet.
  if (/lock file ".*" already exists|shared memory block .* is still in use/.test(output)) {
    return { outcome: 'busy' };
  }
  const lines = output.split('\n').filter((line) => /FATAL|PANIC|ERROR|error/.test(line));
  const reason = lines.at(0)?.replace(/^.*?(FATAL|PANIC|ERROR):\s+/, '') ?? ended;
  throw launchFailed(files, reason);
}

function launchFailed(files: ClusterFiles, reason: string): OperatingError {
  return new OperatingError(
    'EMBEDDED_POSTGRES_FAILED',
    `the embedded PostgreSQL did not start: ${reason} (see ${files.log.path})`,
  );
}

/** Free when asked; should somebody take it first, the launch says so and is repeated. */
async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** After the user namespace, not before: a change of credentials resets the setting. */
function parentDeathPrefix(): string[] {
  const path = '/usr/bin/setpriv';
  return existsSync(path) ? [path, '--pdeathsig', 'QUIT', '--'] : [];
}
