/**
 * OffsetFetch (key 9), versions 1 to 10.
 *
 * - Read from the metadata store, so every commit that has been answered is seen.
 * - No offset, also of an unknown topic or group: offset −1, leader epoch −1, metadata "", error 0.
 *   v10+: UNKNOWN_TOPIC_ID for an unknown topic id.
 * - Null topics (v2+): all that the group has committed, of topics that exist.
 * - To v7 one group; v1 has no error but the partitions'. v8+ (KIP-709): several groups, an error
 *   each. v7+ requireStable: there are no transactions that could hold back an offset.
 * - v9+ member id and epoch (KIP-848): of no meaning to classic groups, as in Kafka.
 */
import { errorCodes, offsetFetchRequest, offsetFetchResponse, zeroUuid } from '@kafscale/codec';
import type { OffsetFetchRequest } from '@kafscale/codec';
import type { OffsetKey, StoredOffset } from '@kafscale/metadata';
import type { KafkaApi } from '../../handlers/kafka-api.js';
import { kafkaApi } from '../../handlers/kafka-api.js';
import { kafkaErrorCode } from '../group-errors.js';
import type { GroupManager } from '../group-manager.js';
import type { KnownTopic, TopicDirectory } from './topic-directory.js';

interface WantedTopic {
  readonly name: string;
  readonly topicId: string;
  readonly partitionIndexes: readonly number[];
}

interface WantedGroup {
  readonly groupId: string;
  /** null: all. */
  readonly topics: readonly WantedTopic[] | null;
}

interface FetchedPartition {
  readonly partitionIndex: number;
  readonly committedOffset: bigint;
  readonly committedLeaderEpoch: number;
  readonly metadata: string;
  readonly errorCode: number;
}

interface FetchedTopic {
  readonly name: string;
  readonly topicId: string;
  readonly partitions: readonly FetchedPartition[];
}

interface FetchedGroup {
  readonly groupId: string;
  readonly errorCode: number;
  readonly topics: readonly FetchedTopic[];
}

interface Source {
  readonly manager: GroupManager;
  readonly topics: TopicDirectory;
  readonly byTopicId: boolean;
}

export function offsetFetchApi(manager: GroupManager, topics: TopicDirectory): KafkaApi {
  return kafkaApi(offsetFetchRequest, offsetFetchResponse, async (request, context) => {
    const source = { manager, topics, byTopicId: context.apiVersion >= 10 };
    if (context.apiVersion >= 8) {
      const groups: FetchedGroup[] = [];
      for (const group of request.groups) groups.push(await fetchGroup(source, group));
      return { groups };
    }
    const group = await fetchGroup(source, singleGroup(request));
    return { topics: group.topics, errorCode: group.errorCode };
  });
}

function singleGroup({ groupId, topics }: OffsetFetchRequest): WantedGroup {
  const wanted = topics?.map((topic) => ({ ...topic, topicId: zeroUuid })) ?? null;
  return { groupId, topics: wanted };
}

async function fetchGroup(source: Source, group: WantedGroup): Promise<FetchedGroup> {
  const { groupId } = group;
  if (groupId.includes('\u0000')) return failure(group, errorCodes.INVALID_GROUP_ID);
  try {
    const topics =
      group.topics === null
        ? await fetchAll(source, groupId)
        : await fetchWanted(source, groupId, group.topics);
    return { groupId, errorCode: errorCodes.NONE, topics };
  } catch (error) {
    return failure(group, kafkaErrorCode(error));
  }
}

async function fetchAll({ manager, topics }: Source, groupId: string): Promise<FetchedTopic[]> {
  const offsets = await manager.shard().fetchOffsets(groupId, null);
  const fetched = new Map<string, FetchedTopic & { partitions: FetchedPartition[] }>();
  for (const offset of offsets) {
    const topic = topics.byId(offset.topicId);
    if (topic === undefined) continue; // deleted, and not yet purged
    const { name, topicId } = topic;
    const entry = fetched.get(topicId) ?? { name, topicId, partitions: [] };
    entry.partitions.push(partitionOf(offset));
    fetched.set(topicId, entry);
  }
  return [...fetched.values()];
}

async function fetchWanted(
  source: Source,
  groupId: string,
  wanted: readonly WantedTopic[],
): Promise<FetchedTopic[]> {
  const shard = source.manager.shard();
  const topics = wanted.map((topic) => ({ topic, known: knownTopic(source, topic) }));
  const keys: OffsetKey[] = [];
  for (const { known, topic } of topics) {
    if (known === undefined) continue;
    const { topicId } = known;
    for (const partitionIndex of new Set(topic.partitionIndexes)) {
      keys.push({ topicId, partitionIndex });
    }
  }
  const found = new Map<string, StoredOffset>();
  for (const offset of await shard.fetchOffsets(groupId, keys)) found.set(keyOf(offset), offset);
  return topics.map(({ known, topic }) => {
    const isUnknownId = known === undefined && source.byTopicId;
    const errorCode = isUnknownId ? errorCodes.UNKNOWN_TOPIC_ID : errorCodes.NONE;
    return {
      name: topic.name,
      topicId: topic.topicId,
      partitions: topic.partitionIndexes.map((partitionIndex) => {
        const offset = known && found.get(keyOf({ topicId: known.topicId, partitionIndex }));
        return offset ? partitionOf(offset) : noOffset(partitionIndex, errorCode);
      }),
    };
  });
}

function knownTopic({ byTopicId, topics }: Source, topic: WantedTopic): KnownTopic | undefined {
  return byTopicId ? topics.byId(topic.topicId) : topics.byName(topic.name);
}

function keyOf({ partitionIndex, topicId }: OffsetKey): string {
  return `${topicId}/${partitionIndex}`;
}

function partitionOf(offset: StoredOffset): FetchedPartition {
  return {
    partitionIndex: offset.partitionIndex,
    committedOffset: offset.committedOffset,
    committedLeaderEpoch: offset.leaderEpoch,
    metadata: offset.metadata,
    errorCode: errorCodes.NONE,
  };
}

function noOffset(partitionIndex: number, errorCode: number): FetchedPartition {
  const nothing = { committedOffset: -1n, committedLeaderEpoch: -1, metadata: '' };
  return { partitionIndex, ...nothing, errorCode };
}

/** v1 has no error of its own, so every partition has it too. */
function failure({ groupId, topics }: WantedGroup, errorCode: number): FetchedGroup {
  const failed = (topics ?? []).map(({ name, partitionIndexes, topicId }) => ({
    name,
    topicId,
    partitions: partitionIndexes.map((index) => noOffset(index, errorCode)),
  }));
  return { groupId, errorCode, topics: failed };
}
