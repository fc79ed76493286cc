import { emptyIndexRecords } from '@kafscale/codec';
import type { IndexPartReference, IndexRecords } from '@kafscale/codec';
import { limits, OperatingError, sleep } from '@kafscale/core';
import type { IndexLog } from './index-log.js';

type Kind = keyof IndexRecords;
type RecordOf<K extends Kind> = IndexRecords[K][number];

/**
 * Collects the records of an entry. Whenever there are enough of them they leave as a part, so that
 * memory is bounded whatever the size of the entry; what is left at the end goes into the entry.
 */
export class EntryBuilder {
  readonly #log: IndexLog;
  readonly #sequence: number;
  readonly #signal: AbortSignal | undefined;
  readonly #parts: IndexPartReference[] = [];
  #pending: { [K in Kind]: RecordOf<K>[] } = emptyPending();
  #pendingBytes = 0;
  #recordCount = 0;

  constructor(log: IndexLog, sequence: number, signal?: AbortSignal) {
    this.#log = log;
    this.#sequence = sequence;
    this.#signal = signal;
  }

  get recordCount(): number {
    return this.#recordCount;
  }

  async addAll<K extends Kind>(
    kind: K,
    pages: AsyncIterable<readonly RecordOf<K>[]>,
  ): Promise<void> {
    for await (const page of pages) {
      if (this.#signal?.aborted === true) {
        throw new OperatingError('INDEX_STOPPED', 'the process stops');
      }
      await this.add(kind, page);
      // Clients go first: this is work in the background of a process that serves them.
      await sleep(limits.indexPagePauseMs);
    }
  }

  async add<K extends Kind>(kind: K, records: readonly RecordOf<K>[]): Promise<void> {
    for (const record of records) {
      this.#pending[kind].push(record);
      this.#pendingBytes += sizeOf[kind](record);
      this.#recordCount += 1;
      if (this.#pendingBytes >= limits.indexPartBytesMax) await this.#flush();
    }
  }

  finish(): { readonly parts: readonly IndexPartReference[]; readonly records: IndexRecords } {
    return { parts: this.#parts, records: this.#pending };
  }

  async #flush(): Promise<void> {
    if (this.#parts.length >= limits.indexPartsMax) {
      throw new OperatingError('INDEX_TOO_LARGE', 'an entry of the index has too many parts');
    }
    const records = this.#pending;
    this.#pending = emptyPending();
    this.#pendingBytes = 0;
    this.#parts.push(await this.#log.putPart(this.#sequence, records));
  }
}

function emptyPending(): { [K in Kind]: RecordOf<K>[] } {
  const pending = Object.keys(emptyIndexRecords).map((kind) => [kind, []]);
  return Object.fromEntries(pending) as { [K in Kind]: RecordOf<K>[] };
}

/** About how many bytes a record takes when it is encoded, and never far fewer. */
const sizeOf: { readonly [K in Kind]: (record: RecordOf<K>) => number } = {
  topics: ({ configs, name }) =>
    40 +
    name.length * 3 +
    configs.reduce((sum, { name: key, value }) => sum + 8 + (key.length + value.length) * 3, 0),
  deletedTopics: () => 17,
  partitions: ({ leaderEpochs }) => 70 + leaderEpochs.length * 13,
  segments: ({ answer }) => 60 + (answer?.length ?? 0),
  extents: ({ skippedBatches }) => 75 + skippedBatches.length * 4,
  coldRanges: () => 42,
  producers: ({ batches }) => 20 + batches.length * 25,
  groups: ({ groupId, offsets, protocolType }) =>
    20 +
    (groupId.length + (protocolType?.length ?? 0)) * 3 +
    offsets.reduce((sum, { metadata }) => sum + 40 + metadata.length, 0),
};
