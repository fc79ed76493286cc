import type { Config } from '@kafscale/config';
import { describeError, OperatingError } from '@kafscale/core';
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ServiceName } from '../cli/index.js';

/** The text in the file, made once with `make` and readable by nobody else. */
export async function keptSecret(path: string, make: () => string): Promise<string> {
  try {
    const kept = (await readFile(path, 'utf8')).trim();
    if (kept !== '') return kept;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw unusable(path, error);
  }
  const text = make();
  try {
    await mkdir(dirname(path), { recursive: true });
    const temporary = `${path}.new`;
    const file = await open(temporary, 'w', 0o600);
    await file.writeFile(`${text}\n`);
    await file.sync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    throw unusable(path, error);
  }
  return text;
}

/** Standalone makes a secret of its own, so that other roles can join it by configuration alone. */
export async function clusterSecret(config: Config, command: ServiceName): Promise<string> {
  if (config.clusterSecret !== undefined) return config.clusterSecret;
  if (command !== 'standalone') return '';
  const file = join(config.dataDir, 'cluster-secret');
  return keptSecret(file, () => randomBytes(24).toString('base64url'));
}

function unusable(path: string, cause: unknown): OperatingError {
  const message = `${path} can't be read or written: ${describeError(cause)}`;
  return new OperatingError('DATA_DIR_UNUSABLE', message, { cause });
}
