/**
 * ListGroups (key 16), versions 0 to 5.
 *
 * - Every group of the cluster that this coordinator owns, also those that only committed offsets
 *   (protocol type "").
 * - v4+ (KIP-518): states, and a filter by state. v5+ (KIP-848): types, and a filter by type; all
 *   groups are "classic". Filters are case-insensitive; an empty filter is none.
 */
import { errorCodes, listGroupsRequest, listGroupsResponse } from '@kafscale/codec';
import type { ListGroupsResponseInput } from '@kafscale/codec';
import type { KafkaApi } from '../../handlers/kafka-api.js';
import { kafkaApi } from '../../handlers/kafka-api.js';
import { kafkaErrorCode } from '../group-errors.js';
import type { GroupManager } from '../group-manager.js';

/** As Kafka prints it. */
const groupType = 'classic';

export function listGroupsApi(manager: GroupManager): KafkaApi {
  return kafkaApi(listGroupsRequest, listGroupsResponse, async (request) => {
    const states = lowerCaseSet(request.statesFilter);
    const types = lowerCaseSet(request.typesFilter);
    if (types.size > 0 && !types.has(groupType)) return { groups: [] };
    return list(manager, states);
  });
}

async function list(
  manager: GroupManager,
  states: ReadonlySet<string>,
): Promise<ListGroupsResponseInput> {
  try {
    const listed = await manager.shard().list();
    const wanted = listed.filter(
      ({ state }) => states.size === 0 || states.has(state.toLowerCase()),
    );
    const groups = wanted.map(({ groupId, protocolType, state }) => ({
      groupId,
      protocolType,
      groupState: state,
      groupType,
    }));
    return { errorCode: errorCodes.NONE, groups };
  } catch (error) {
    return { errorCode: kafkaErrorCode(error) };
  }
}

function lowerCaseSet(filter: readonly string[]): ReadonlySet<string> {
  return new Set(filter.map((name) => name.toLowerCase()));
}
