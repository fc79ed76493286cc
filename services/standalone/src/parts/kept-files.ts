import { OperatingError, describeError } from '@kafscale/core';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

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

function unusable(path: string, cause: unknown): OperatingError {
  const message = `${path} can't be read or written: ${describeError(cause)}`;
  return new OperatingError('DATA_DIR_UNUSABLE', message, { cause });
}
