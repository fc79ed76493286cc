import type { Clock } from '@kafscale/core';

export interface ReaderMemoryLimits {
  /** Connections remembered at most. */
  readonly readersMax: number;
  /** Partitions remembered at most, over all connections. */
  readonly streamsMax: number;
  /** A connection that fetched nothing for so long is forgotten. */
  readonly idleMsMax: number;
  readonly readAheadBytesPerPartitionMax: number;
  /** Shared by all partitions that are read sequentially. */
  readonly readAheadBytesMax: number;
}

/** What was served of one partition to one connection. */
export interface ServedRange {
  readonly partitionId: number;
  readonly offset: number;
  readonly nextOffset: number;
  readonly bytes: number;
  /** There is more behind it. */
  readonly isBehind: boolean;
}

interface Stream {
  nextOffset: number;
  depthBytes: number;
}

interface Reader {
  lastUsedMs: number;
  /** The partition that the last response had no room for. */
  starved: number | null;
  readonly streams: Map<number, Stream>;
}

/**
 * The little that is known about a connection from one Fetch to the next: where it reads
 * sequentially, and whose turn it is when a response can not hold everything. Only speed and
 * fairness rest on it, so it may forget at any time.
 */
export class ReaderMemory {
  readonly #limits: ReaderMemoryLimits;
  readonly #clock: Clock;
  /** In order of use, oldest first. */
  readonly #readers = new Map<string, Reader>();
  #streamCount = 0;

  constructor(limits: ReaderMemoryLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  get readerCount(): number {
    return this.#readers.size;
  }

  get streamCount(): number {
    return this.#streamCount;
  }

  /** Whose turn it is. */
  starved(connectionId: string): number | null {
    return this.#readers.get(connectionId)?.starved ?? null;
  }

  setStarved(connectionId: string, partitionId: number | null): void {
    const known = this.#readers.get(connectionId);
    if (known === undefined && partitionId === null) return;
    this.#use(connectionId).starved = partitionId;
  }

  /**
   * Returns how many bytes behind the range are worth reading ahead: none for a first read or a
   * jump, then twice as many with every sequential one, within the partition's part of the budget.
   */
  served(connectionId: string, range: ServedRange): number {
    if (!range.isBehind) {
      this.#forgetStream(connectionId, range.partitionId);
      return 0;
    }
    const reader = this.#use(connectionId);
    const stream = reader.streams.get(range.partitionId);
    if (stream === undefined) {
      reader.streams.set(range.partitionId, { nextOffset: range.nextOffset, depthBytes: 0 });
      this.#streamCount++;
      this.#evict();
      return 0;
    }
    const isSequential = stream.nextOffset === range.offset;
    stream.nextOffset = range.nextOffset;
    stream.depthBytes = isSequential ? this.#deeper(stream.depthBytes, range.bytes) : 0;
    return stream.depthBytes;
  }

  #deeper(depthBytes: number, servedBytes: number): number {
    const { readAheadBytesPerPartitionMax, readAheadBytesMax } = this.#limits;
    const shareBytes = Math.floor(readAheadBytesMax / Math.max(1, this.#streamCount));
    const wanted = depthBytes === 0 ? servedBytes : depthBytes * 2;
    return Math.min(wanted, readAheadBytesPerPartitionMax, shareBytes);
  }

  #use(connectionId: string): Reader {
    const reader = this.#readers.get(connectionId) ?? newReader();
    reader.lastUsedMs = this.#clock.monotonicMs();
    this.#readers.delete(connectionId);
    this.#readers.set(connectionId, reader);
    this.#evict();
    return reader;
  }

  /** At the end of a partition nothing is read ahead, and the others get its part of the budget. */
  #forgetStream(connectionId: string, partitionId: number): void {
    const reader = this.#readers.get(connectionId);
    if (reader?.streams.delete(partitionId) === true) this.#streamCount--;
  }

  #evict(): void {
    const { readersMax, streamsMax, idleMsMax } = this.#limits;
    const idleSinceMs = this.#clock.monotonicMs() - idleMsMax;
    for (const [connectionId, reader] of this.#readers) {
      const isTooMany = this.#readers.size > readersMax || this.#streamCount > streamsMax;
      if (!isTooMany && reader.lastUsedMs >= idleSinceMs) return;
      this.#readers.delete(connectionId);
      this.#streamCount -= reader.streams.size;
    }
  }
}

function newReader(): Reader {
  return { lastUsedMs: 0, starved: null, streams: new Map() };
}
