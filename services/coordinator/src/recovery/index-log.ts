import {
  decodeIndexEntry,
  decodeIndexPart,
  encodeIndexEntry,
  encodeIndexPart,
  indexEntryKey,
  indexLogPrefix,
  indexPartKey,
  parseIndexKey,
} from '@kafscale/codec';
import type {
  EncodedIndexObject,
  IndexEntry,
  IndexEntryKind,
  IndexLogId,
  IndexPartReference,
  IndexRecords,
} from '@kafscale/codec';
import { limits, OperatingError } from '@kafscale/core';
import type { ObjectStore } from '@kafscale/storage';
import { randomUUID } from 'node:crypto';

export interface ListedEntry {
  readonly kind: IndexEntryKind;
  readonly sequence: number;
  readonly sizeBytes: number;
}

/** One log of the index in the bucket: entries under ascending sequences, each written once. */
export class IndexLog {
  readonly id: IndexLogId;
  readonly #store: ObjectStore;

  constructor(store: ObjectStore, id: IndexLogId) {
    this.#store = store;
    this.id = id;
  }

  /** By sequence; the manifest of a sequence before its snapshot. */
  async list(): Promise<readonly ListedEntry[]> {
    const entries: ListedEntry[] = [];
    for await (const { key, sizeBytes } of this.#store.list(`${indexLogPrefix(this.id)}log/`)) {
      const parsed = parseIndexKey(key);
      if (parsed === undefined || parsed.kind === 'part') continue;
      entries.push({ kind: parsed.kind, sequence: parsed.sequence, sizeBytes });
    }
    return entries;
  }

  /** Errors: OBJECT_NOT_FOUND, INDEX_OBJECT_*, STORE_*. */
  async readEntry(kind: IndexEntryKind, sequence: number): Promise<IndexEntry> {
    const object = await this.#read(indexEntryKey(this.id, sequence, kind));
    const entry = decodeIndexEntry(object, kind);
    const { clusterId, incarnation, shardId } = this.id;
    if (
      entry.clusterId !== clusterId ||
      entry.incarnation !== incarnation ||
      entry.shardId !== shardId ||
      entry.sequence !== sequence
    ) {
      throw new OperatingError('INDEX_OBJECT_CORRUPT', 'the entry is not what its key says');
    }
    return entry;
  }

  /** The records of an entry, piece by piece. Errors as readEntry. */
  async *records(entry: IndexEntry): AsyncGenerator<IndexRecords, void> {
    for (const reference of entry.parts) {
      const key = indexPartKey(this.id, entry.sequence, reference.partId);
      const object = await this.#read(key);
      yield decodeIndexPart(object, reference);
    }
    yield entry.records;
  }

  /** OBJECT_EXISTS: somebody else wrote this sequence, or an earlier attempt of our own did. */
  async putEntry(kind: IndexEntryKind, entry: IndexEntry): Promise<number> {
    const object = encodeIndexEntry(kind, entry);
    await this.#put(indexEntryKey(this.id, entry.sequence, kind), object);
    return object.sizeBytes;
  }

  async putPart(sequence: number, records: IndexRecords): Promise<IndexPartReference> {
    const object = encodeIndexPart(records);
    const partId = randomUUID();
    await this.#put(indexPartKey(this.id, sequence, partId), object);
    return { partId, sizeBytes: object.sizeBytes, crc32c: object.crc32c };
  }

  async #put(key: string, object: EncodedIndexObject): Promise<void> {
    await this.#store.put(key, object.chunks, object.objectCrc32c);
  }

  async #read(key: string): Promise<Buffer> {
    const { bytes, sizeBytes } = await this.#store.readTail(key, limits.indexObjectBytesMax);
    if (bytes.length === sizeBytes) return bytes;
    throw new OperatingError('INDEX_OBJECT_CORRUPT', `${key} has ${sizeBytes} bytes`);
  }
}
