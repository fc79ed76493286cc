import { apis, errorCodes, errorName, parseResponseHeader } from '@kafscale/codec';
import type { Api, Decoded, Encodable, Fields, Message } from '@kafscale/codec';
import { describeError, invariant, OperatingError, sleep, systemClock } from '@kafscale/core';
import { FrameSocket, type Address } from './frame-socket.js';
import { requestFrame } from './request-frame.js';

/** Versions that every server in the benchmarks speaks. */
const versions = { createTopics: 5, createPartitions: 1, metadata: 9, listOffsets: 6 } as const;

const latestTimestamp = -1n;
const leaderMsMax = 30_000;

export interface TopicToCreate {
  readonly name: string;
  readonly partitions: number;
  readonly configs?: Readonly<Record<string, string>>;
}

/** What the benchmarks ask of a server besides its load: one request at a time. */
export class AdminClient {
  readonly #socket: FrameSocket;
  #correlationId = 0;

  private constructor(socket: FrameSocket) {
    this.#socket = socket;
  }

  static async connect(address: Address): Promise<AdminClient> {
    return new AdminClient(await FrameSocket.open(address));
  }

  /**
   * Resolves once every partition has a leader. Apache Kafka makes at most 10,000 metadata records at a
   * time (QuorumController.MAX_RECORDS_PER_USER_OP): a topic that needs more gets them in two steps.
   */
  async createTopic(topic: TopicToCreate): Promise<void> {
    try {
      await this.#createTopic(topic);
    } catch (error) {
      if (!describeError(error).includes('excessively large batch')) throw error;
      await this.#createTopic({ ...topic, partitions: Math.floor(topic.partitions / 2) });
      await this.#untilLed({ ...topic, partitions: Math.floor(topic.partitions / 2) });
      await this.#addPartitions(topic);
    }
    await this.#untilLed(topic);
  }

  async #addPartitions({ name, partitions }: TopicToCreate): Promise<void> {
    const response = await this.#call(apis.createPartitions, versions.createPartitions, {
      topics: [{ name, count: partitions, assignments: null }],
      timeoutMs: leaderMsMax,
      validateOnly: false,
    });
    for (const { errorCode, errorMessage } of response.results) {
      if (errorCode === errorCodes.NONE) continue;
      throw new OperatingError(errorName(errorCode), errorMessage ?? 'partitions were refused');
    }
  }

  async #createTopic(topic: TopicToCreate): Promise<void> {
    const response = await this.#call(apis.createTopics, versions.createTopics, {
      topics: [
        {
          name: topic.name,
          numPartitions: topic.partitions,
          replicationFactor: 1,
          assignments: [],
          configs: Object.entries(topic.configs ?? {}).map(([name, value]) => ({ name, value })),
        },
      ],
      validateOnly: false,
    });
    for (const { errorCode, errorMessage } of response.topics) {
      if (errorCode !== errorCodes.NONE) {
        throw new OperatingError(errorName(errorCode), errorMessage ?? 'the topic was refused');
      }
    }
  }

  /** The next offset of every partition. */
  async endOffsets(topic: string, partitions: number): Promise<number[]> {
    const response = await this.#call(apis.listOffsets, versions.listOffsets, {
      replicaId: -1,
      isolationLevel: 0,
      topics: [
        {
          name: topic,
          partitions: Array.from({ length: partitions }, (_, partitionIndex) => ({
            partitionIndex,
            timestamp: latestTimestamp,
          })),
        },
      ],
    });
    const answers = response.topics.flatMap((each) => each.partitions);
    invariant(answers.length === partitions, 'every partition is answered');
    return answers
      .toSorted((left, right) => left.partitionIndex - right.partitionIndex)
      .map(({ errorCode, offset, partitionIndex }) => {
        if (errorCode === errorCodes.NONE) return Number(offset);
        throw new OperatingError(errorName(errorCode), `end of ${topic}-${partitionIndex}`);
      });
  }

  close(): void {
    this.#socket.close();
  }

  async #untilLed(topic: TopicToCreate): Promise<void> {
    const deadlineMs = systemClock.monotonicMs() + leaderMsMax;
    for (;;) {
      const response = await this.#call(apis.metadata, versions.metadata, {
        topics: [{ name: topic.name }],
        allowAutoTopicCreation: false,
        includeClusterAuthorizedOperations: false,
        includeTopicAuthorizedOperations: false,
      });
      const partitions = response.topics[0]?.partitions ?? [];
      const led = partitions.filter(({ errorCode, leaderId }) => errorCode === 0 && leaderId >= 0);
      if (led.length === topic.partitions) return;
      if (systemClock.monotonicMs() > deadlineMs) {
        throw new OperatingError('LEADER_NOT_AVAILABLE', `${topic.name} has no leaders`);
      }
      await sleep(50);
    }
  }

  async #call<Request extends Fields, Response extends Fields>(
    api: Api<Request, Response>,
    version: number,
    request: Encodable<Message<Request>>,
  ): Promise<Decoded<Message<Response>>> {
    this.#correlationId += 1;
    const correlationId = this.#correlationId;
    return await new Promise((resolve, reject) => {
      this.#socket.listen((frame) => {
        // The frame's bytes are used again, and what is decoded may point into them.
        const answer = Buffer.from(frame);
        const header = parseResponseHeader(answer, api.key, version);
        invariant(header.correlationId === correlationId, 'answers come in order');
        resolve(api.response.decode(answer.subarray(header.bodyOffset), version));
      }, reject);
      this.#socket.write(requestFrame({ api, version, correlationId, request }));
    });
  }
}
