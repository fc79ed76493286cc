import { apis, errorCodes, errorName } from '@kafscale/codec';
import type { CoordinatorService, FeedMessage } from '@kafscale/cluster';
import { invariant, OperatingError } from '@kafscale/core';

const createTopicsVersion = 5;

/** Through the coordinator's own interface; gives the ids of the partitions. */
export async function createTopicOf(
  coordinator: CoordinatorService,
  topic: { readonly topic: string; readonly partitions: number },
): Promise<number[]> {
  const chunks = apis.createTopics.request.encode(
    {
      topics: [
        {
          name: topic.topic,
          numPartitions: topic.partitions,
          replicationFactor: 1,
          assignments: [],
          configs: [],
        },
      ],
      validateOnly: false,
    },
    createTopicsVersion,
  );
  const reply = await coordinator.handle(
    {
      apiKey: apis.createTopics.key,
      apiVersion: createTopicsVersion,
      clientId: 'kafscale-raw',
      clientHost: '127.0.0.1',
      principal: 'User:ANONYMOUS',
      listener: 'bench',
      connectionId: 'bench',
      requestNumber: 0,
      body: Buffer.concat(chunks),
    },
    new AbortController().signal,
  );
  invariant(reply.kind === 'response', 'a topic is created or refused');
  const response = apis.createTopics.response.decode(
    Buffer.concat(reply.chunks),
    createTopicsVersion,
  );
  for (const { errorCode, errorMessage } of response.topics) {
    if (errorCode === errorCodes.NONE) continue;
    throw new OperatingError(errorName(errorCode), errorMessage ?? 'the topic was refused');
  }
  const { topics } = await snapshotOf(coordinator);
  const created = topics.find(({ name }) => name === topic.topic);
  invariant(created !== undefined, 'a topic that was created is in the next snapshot');
  return created.partitions.map(({ partitionId }) => partitionId);
}

/** By partition id, of all topics. */
export async function highWatermarksOf(
  coordinator: CoordinatorService,
): Promise<ReadonlyMap<number, number>> {
  const { topics } = await snapshotOf(coordinator);
  return new Map(
    topics.flatMap(({ partitions }) =>
      partitions.map(({ highWatermark, partitionId }) => [partitionId, highWatermark] as const),
    ),
  );
}

type Snapshot = Extract<FeedMessage, { kind: 'snapshot' }>;

async function snapshotOf(coordinator: CoordinatorService): Promise<Snapshot> {
  return await new Promise((resolve, reject) => {
    const subscription = coordinator.subscribe(
      { commits: true },
      {
        onMessage: (message) => {
          if (message.kind !== 'snapshot') return;
          resolve(message);
          subscription.close();
        },
        onClosed: (reason) => reject(new OperatingError('FEED_CLOSED', reason)),
      },
    );
  });
}
