import type { ConsumerProcess } from './consumer-process.js';
import type { RecordFeatures, TestRecord } from './records.js';

/** A real client, as the checks drive it. Every call is bounded in time by its implementation. */
export interface KafkaClient {
  readonly name: string;
  /** Its version, and that of the library below it where that is another. */
  readonly version: string;
  /** Every compression that it can write. */
  readonly codecs: readonly string[];
  readonly features: ClientFeatures;
  /** Absent when the tool cannot: then producing creates the topic, with the server's count. */
  createTopic?(options: CreateTopicOptions): Promise<void>;
  /** Resolves when everything is acknowledged. The order within a partition is kept. */
  produce(options: ProduceOptions): Promise<void>;
  /** Starts a member of a group that reads from the earliest record on. */
  consume(options: ConsumeOptions): ConsumerProcess;
}

export interface ClientFeatures extends RecordFeatures {
  /**
   * When it consumes records again that it was given before: its automatic commits come later than a
   * rebalance, or than the loss of its connection, after which it starts from what was committed.
   */
  readonly redelivers: 'never' | 'after-disconnect' | 'at-rebalance';
  /** Its consumer ends, rather than wait, when no server is there. */
  readonly endsWithServer: boolean;
}

export interface CreateTopicOptions {
  readonly bootstrap: string;
  readonly topic: string;
  readonly partitions: number;
}

export interface ProduceOptions {
  readonly bootstrap: string;
  readonly codec: string;
  readonly records: readonly TestRecord[];
}

export interface ConsumeOptions {
  readonly bootstrap: string;
  readonly group: string;
  readonly topics: readonly string[];
}
