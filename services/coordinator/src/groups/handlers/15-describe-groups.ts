/**
 * DescribeGroups (key 15), versions 0 to 6.
 *
 * - Metadata and assignments are opaque bytes, as the clients sent them. Subscriptions and the
 *   protocol are shown for a stable group only (Kafka's ClassicGroup).
 * - Unknown group: state Dead with error 0; v6+ (KIP-1043): GROUP_ID_NOT_FOUND with a message.
 * - v3+: authorized operations are "not asked" (−2^31), for there are no ACLs on groups yet.
 */
import { describeGroupsRequest, describeGroupsResponse, errorCodes } from '@kafscale/codec';
import type { DescribeGroupsResponseInput } from '@kafscale/codec';
import type { KafkaApi } from '../../handlers/kafka-api.js';
import { kafkaApi } from '../../handlers/kafka-api.js';
import { kafkaErrorCode } from '../group-errors.js';
import type { GroupManager } from '../group-manager.js';
import type { GroupDescription } from '../state/classic-group.js';
import { groupStates } from '../state/group-state.js';
import { isValidGroupId } from './group-request.js';

type Answer = NonNullable<DescribeGroupsResponseInput['groups']>[number];

export function describeGroupsApi(manager: GroupManager): KafkaApi {
  return kafkaApi(describeGroupsRequest, describeGroupsResponse, async (request, context) => {
    const groups: Answer[] = [];
    for (const groupId of request.groups) {
      groups.push(await describeGroup(manager, groupId, context.apiVersion));
    }
    return { groups };
  });
}

async function describeGroup(
  manager: GroupManager,
  groupId: string,
  apiVersion: number,
): Promise<Answer> {
  if (!isValidGroupId(groupId)) return { groupId, errorCode: errorCodes.INVALID_GROUP_ID };
  try {
    const live = await manager.shard().find(groupId);
    if (live !== null) return known(groupId, live.group.describe());
    if (apiVersion < 6) return { groupId, groupState: groupStates.dead };
    return {
      groupId,
      groupState: groupStates.dead,
      errorCode: errorCodes.GROUP_ID_NOT_FOUND,
      errorMessage: `Group ${groupId} not found.`,
    };
  } catch (error) {
    return { groupId, errorCode: kafkaErrorCode(error) };
  }
}

function known(groupId: string, group: GroupDescription): Answer {
  return {
    groupId,
    errorCode: errorCodes.NONE,
    groupState: group.state,
    protocolType: group.protocolType,
    protocolData: group.protocolName,
    members: group.members.map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      memberMetadata: member.metadata,
      memberAssignment: member.assignment,
    })),
  };
}
