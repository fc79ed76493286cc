import type { FetchRequestInput } from '@kafscale/codec';
import { readBatchHeader } from '@kafscale/codec';
import { expect } from 'vitest';
import type { World } from './world.js';

/** A consumer of one topic that fetches as the Java client does: FetchSessionHandler. */
export class SessionClient {
  readonly #world: World;
  readonly #topic: string;
  readonly #offsets: number[];
  readonly #logs: Buffer[][];
  /** Partitions whose offsets the session does not have yet. */
  #moved: Set<number>;
  #sessionId = 0;
  #epoch = 0;

  constructor(world: World, topic: string, partitionCount: number) {
    this.#world = world;
    this.#topic = topic;
    this.#offsets = Array.from({ length: partitionCount }, () => 0);
    this.#logs = this.#offsets.map(() => []);
    this.#moved = new Set(this.#offsets.keys());
  }

  log(partition: number): Buffer {
    return Buffer.concat(this.#logs[partition]!);
  }

  /** The partitions that records came of. */
  async fetch(request: FetchRequestInput): Promise<number[]> {
    const partitions = [...this.#moved].map((partition) => ({
      partition,
      fetchOffset: BigInt(this.#offsets[partition]!),
      partitionMaxBytes: 1_000_000,
    }));
    const { topics, ...rest } = { topics: [{ topic: this.#topic, partitions }], ...request };
    const response = await this.#world.fetchRaw({
      ...rest,
      topics: partitions.length === 0 ? [] : topics,
      sessionId: this.#sessionId,
      sessionEpoch: this.#epoch,
    });
    expect(response.errorCode).toBe(0);
    expect(response.sessionId).toBeGreaterThan(0);
    this.#sessionId = response.sessionId;
    this.#epoch++;
    this.#moved = new Set();
    for (const { partitions: answers } of response.responses) {
      for (const answer of answers) this.#take(answer.partitionIndex, answer.records);
    }
    return [...this.#moved];
  }

  #take(partition: number, records: Buffer | null): void {
    if (records === null || records.length === 0) return;
    this.#logs[partition]!.push(records);
    for (let at = 0; at < records.length; at += 12 + records.readInt32BE(at + 8)) {
      this.#offsets[partition]! += readBatchHeader(records, at).recordCount;
    }
    this.#moved.add(partition);
  }
}
