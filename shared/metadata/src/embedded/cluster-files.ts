import { randomBytes } from 'node:crypto';
import { appendFile, chown, mkdir, mkdtemp, open, readdir, readFile } from 'node:fs/promises';
import { realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describeError, invariant, OperatingError } from '@kafscale/core';
import type { PostgresBinaries } from './binaries.js';
import { LogFile } from './log-file.js';
import { runProgram } from './process-runner.js';
import { belongsToAnother, giveTo } from './run-as.js';
import type { RunAs } from './run-as.js';
import { hostBasedAuthentication } from './settings.js';

export const userName = 'kafscale';

/**
 * Where things are:
 *
 *     <dataDir>/18/data/       the cluster, PostgreSQL's own format of that major version
 *     <dataDir>/18/secret      the password, 0600
 *     <dataDir>/postgres.log
 */
export interface ClusterFiles {
  readonly dataDir: string;
  readonly clusterDir: string;
  readonly pgDataDir: string;
  readonly secretPath: string;
  readonly settingsPath: string;
  readonly pidPath: string;
  readonly log: LogFile;
}

/** Makes the folder. Fails with DATA_DIR_NOT_WRITABLE or EMBEDDED_POSTGRES_VERSION. */
export async function openDataDir(dataDir: string, majorVersion: number): Promise<ClusterFiles> {
  const path = await makeDataDir(dataDir);
  const versions = (await readdir(path)).filter((name) => /^\d+$/.test(name));
  if (versions.length > 0 && !versions.includes(String(majorVersion))) {
    throw new OperatingError(
      'EMBEDDED_POSTGRES_VERSION',
      `${path} was written by PostgreSQL ${versions.join(', ')}, but this release brings ` +
        `PostgreSQL ${majorVersion}: see docs on upgrading the embedded database`,
    );
  }
  return clusterFilesIn(path, majorVersion);
}

export function clusterFilesIn(path: string, majorVersion: number): ClusterFiles {
  const clusterDir = join(path, String(majorVersion));
  const pgDataDir = join(clusterDir, 'data');
  return {
    dataDir: path,
    clusterDir,
    pgDataDir,
    secretPath: join(clusterDir, 'secret'),
    settingsPath: join(pgDataDir, 'kafscale.conf'),
    pidPath: join(pgDataDir, 'postmaster.pid'),
    log: new LogFile(join(path, 'postgres.log')),
  };
}

async function makeDataDir(dataDir: string): Promise<string> {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    const path = await realpath(dataDir);
    // A folder can exist and still be somebody else's, or on a disk that is mounted read-only.
    await rm(await mkdtemp(join(path, 'probe-')), { recursive: true });
    return path;
  } catch (error) {
    throw new OperatingError(
      'DATA_DIR_NOT_WRITABLE',
      `can't write in the data dir ${dataDir}: ${describeError(error)}`,
      { cause: error },
    );
  }
}

/**
 * Makes the cluster unless it is there. It is built beside its final place and renamed, so a kill
 * at any point leaves either none or a whole one; of two processes that do this at once, one
 * rename wins and the other's work is dropped. Returns whether this call made it.
 */
export async function initializeCluster(
  files: ClusterFiles,
  binaries: PostgresBinaries,
  options: { readonly runAs: RunAs; readonly durable: boolean },
): Promise<boolean> {
  if (await exists(files.clusterDir)) {
    const foreign = await belongsToAnother(options.runAs, files.clusterDir);
    if (foreign) await giveTo(options.runAs, files.clusterDir);
    return false;
  }
  const buildDir = await mkdtemp(join(files.dataDir, 'init-'));
  try {
    await runInitdb(buildDir, binaries, options);
    const pgDataDir = join(buildDir, 'data');
    await writeFile(join(pgDataDir, 'pg_hba.conf'), hostBasedAuthentication, { flush: true });
    const include = "\ninclude 'kafscale.conf'\n";
    await appendFile(join(pgDataDir, 'postgresql.conf'), include, { flush: true });
    await rename(buildDir, files.clusterDir);
    if (options.durable) await syncDir(files.dataDir);
    return true;
  } catch (error) {
    await rm(buildDir, { recursive: true, force: true });
    if (await exists(files.clusterDir)) return false;
    throw error;
  }
}

async function runInitdb(
  buildDir: string,
  binaries: PostgresBinaries,
  options: { readonly runAs: RunAs; readonly durable: boolean },
): Promise<void> {
  const secretPath = join(buildDir, 'secret');
  await writeFile(secretPath, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600, flush: true });
  await giveTo(options.runAs, buildDir);
  const result = await runProgram(
    [
      ...options.runAs.prefix,
      binaries.initdb,
      `--pgdata=${join(buildDir, 'data')}`,
      `--username=${userName}`,
      `--pwfile=${secretPath}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--no-instructions',
      ...(options.durable ? [] : ['--no-sync']),
    ],
    { ...options.runAs, timeoutMs: 120_000 },
  );
  if (result.code !== 0) {
    const lines = result.output.split('\n');
    const reason = lines.find((line) => /error|fatal/i.test(line)) ?? lines.at(-1) ?? '';
    throw new OperatingError(
      'EMBEDDED_POSTGRES_FAILED',
      `the embedded PostgreSQL could not be initialized in ${dirname(buildDir)}: ${reason}`,
    );
  }
}

/** Fails with EMBEDDED_POSTGRES_FAILED when the file is gone: nothing else knows the secret. */
export async function readSecret(files: ClusterFiles): Promise<string> {
  try {
    const secret = (await readFile(files.secretPath, 'utf8')).trim();
    invariant(secret.length > 0, 'the secret file was renamed into place whole');
    return secret;
  } catch (error) {
    throw new OperatingError(
      'EMBEDDED_POSTGRES_FAILED',
      `can't read the embedded PostgreSQL's password: ${describeError(error)}`,
      { cause: error },
    );
  }
}

/** Writes the settings for the next launch. */
export async function writeSettings(
  files: ClusterFiles,
  settings: string,
  runAs: RunAs,
): Promise<void> {
  if ((await readSettings(files)) === settings) return;
  const path = `${files.settingsPath}.${process.pid}.tmp`;
  await writeFile(path, settings, { mode: 0o600, flush: true });
  if (runAs.uid !== undefined) await chown(path, runAs.uid, runAs.gid ?? runAs.uid);
  await rename(path, files.settingsPath);
}

/** The settings of the last launch, and so of a server that still runs. */
export async function readSettings(files: ClusterFiles): Promise<string | undefined> {
  return await readFile(files.settingsPath, 'utf8').catch(() => undefined);
}

/**
 * Removes what starts that were killed left. Only old ones: another process may be starting right
 * now, on its way to finding the data dir in use.
 */
export async function removeLeftovers(files: ClusterFiles, wallMs: number): Promise<void> {
  const ageMsMin = 60 * 60_000;
  for (const name of await readdir(files.dataDir)) {
    if (!/^(init|probe)-\w{6}$/.test(name)) continue;
    const path = join(files.dataDir, name);
    const info = await stat(path).catch(() => undefined);
    if (info === undefined || wallMs - info.mtimeMs < ageMsMin) continue;
    await rm(path, { recursive: true, force: true });
  }
}

async function syncDir(path: string): Promise<void> {
  const dir = await open(path, 'r');
  try {
    await dir.sync();
  } finally {
    await dir.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
