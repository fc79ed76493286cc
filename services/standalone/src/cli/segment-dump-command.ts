import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { resolve } from 'node:path';
import { formatSegmentDump, segmentIdFromKey, segmentKey } from '@kafscale/codec';
import type { SegmentReader } from '@kafscale/codec';
import type { Config } from '@kafscale/config';
import { invariant, OperatingError } from '@kafscale/core';
import { openObjectStore } from '@kafscale/storage';
import type { ObjectStore } from '@kafscale/storage';
import type { Command, CommandContext } from './command.js';
import { objectStoreOptions } from './object-store-options.js';
import { usageError } from './usage-error.js';

export const segmentDumpCommand: Command = {
  name: 'segment dump',
  summary: "print a segment object's footer, and its records if asked",
  usage: 'KEY|FILE',
  positionals: { min: 1, max: 1 },
  configCommand: 'segment',
  flags: [{ name: 'records', kind: 'switch', description: 'also print every batch and record' }],
  run: runDump,
};

/** A file of that name goes first; else the object of that key, or of the segment with that id. */
async function runDump(context: CommandContext): Promise<void> {
  const [name = ''] = context.positionals;
  const file = await openFile(resolve(name));
  if (file) {
    try {
      await dump(await fileReader(file), context);
    } finally {
      await file.close();
    }
    return;
  }
  const { config } = context.loaded;
  const key = objectKey(name, config);
  const store = openObjectStore(config.storeUrl, objectStoreOptions(config));
  try {
    await dump(await objectReader(store, key), context);
  } finally {
    await store.close();
  }
}

async function dump(reader: SegmentReader, context: CommandContext): Promise<void> {
  const records = context.flags.get('records') === 'true';
  for await (const line of formatSegmentDump(reader, { records })) {
    context.stdout.write(`${line}\n`);
  }
}

async function openFile(path: string): Promise<FileHandle | undefined> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined || (await file.stat()).isFile()) return file;
  await file.close();
  return undefined;
}

async function fileReader(file: FileHandle): Promise<SegmentReader> {
  const { size } = await file.stat();
  return {
    sizeBytes: size,
    read: async (position, length) => {
      const buffer = Buffer.alloc(length);
      const { bytesRead } = await file.read(buffer, 0, length, position);
      if (bytesRead !== length) {
        throw new OperatingError(
          'RANGE_NOT_SATISFIABLE',
          `the file ends before ${position + length}`,
        );
      }
      return buffer;
    },
  };
}

async function objectReader(store: ObjectStore, key: string): Promise<SegmentReader> {
  const { sizeBytes } = await store.readTail(key, 1);
  invariant(sizeBytes >= 0, 'an object has a size');
  return { sizeBytes, read: (position, length) => store.read(key, position, length) };
}

const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function objectKey(name: string, config: Config): string {
  const segmentId = uuidPattern.test(name) ? name : segmentIdFromKey(name);
  if (segmentId !== undefined) return segmentKey(segmentId);
  throw usageError(`${name} is no file here, and no key of a segment in ${config.storeUrl}`);
}
