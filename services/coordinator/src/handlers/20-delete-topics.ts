/**
 * DeleteTopics (key 20), versions 1 to 6; since v6 by name or by id.
 *
 * Unknown name: UNKNOWN_TOPIC_OR_PARTITION; unknown id: UNKNOWN_TOPIC_ID; both given: INVALID_REQUEST.
 * While nobody owns the shard: NOT_CONTROLLER, which clients try again.
 * The topic is gone, for every front, when the answer leaves. Its id is never used again.
 */
import { deleteTopicsRequest, deleteTopicsResponse, errorCodes, zeroUuid } from '@kafscale/codec';
import type { DeleteTopicsRequest, DeleteTopicsResponseInput } from '@kafscale/codec';
import { isOperatingError } from '@kafscale/core';
import { topicErrorCode } from '../topics/topic-admin.js';
import type { TopicAdmin } from '../topics/topic-admin.js';
import { kafkaApi } from './kafka-api.js';
import type { KafkaApi } from './kafka-api.js';

type Answer = NonNullable<DeleteTopicsResponseInput['responses']>[number];
type Question = DeleteTopicsRequest['topics'][number];

export function deleteTopicsApi(topics: TopicAdmin): KafkaApi {
  return kafkaApi(deleteTopicsRequest, deleteTopicsResponse, async (request, { apiVersion }) => {
    const questions: readonly Question[] =
      apiVersion >= 6
        ? request.topics
        : request.topicNames.map((name) => ({ name, topicId: zeroUuid }));
    const responses: Answer[] = [];
    for (const question of questions) responses.push(await answerTopic(topics, question));
    return { responses };
  });
}

async function answerTopic(topics: TopicAdmin, { name, topicId }: Question): Promise<Answer> {
  const byName = name !== null;
  const answer = (errorCode: number, errorMessage: string | null): Answer => ({
    name,
    topicId,
    errorCode,
    errorMessage,
  });
  if (byName && topicId !== zeroUuid) {
    return answer(errorCodes.INVALID_REQUEST, 'Topic name and id can not both be specified.');
  }
  try {
    const topic = byName ? topics.byName(name) : topics.byId(topicId);
    if (topic === undefined) {
      return byName
        ? answer(errorCodes.UNKNOWN_TOPIC_OR_PARTITION, 'This topic does not exist.')
        : answer(errorCodes.UNKNOWN_TOPIC_ID, 'This topic id does not exist.');
    }
    await topics.delete(topic.topicId);
    return { name: topic.name, topicId: topic.topicId, errorCode: 0, errorMessage: null };
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    return answer(topicErrorCode(error), error.message);
  }
}
