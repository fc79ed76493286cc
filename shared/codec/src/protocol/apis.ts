import { invariant } from '@kafscale/core';
import type { AnyMessage, Message } from './message.js';
import type { Fields } from './schema.js';
import { includesVersion } from './versions.js';
import { produceRequest, produceResponse } from './messages/00-produce.js';
import { fetchRequest, fetchResponse } from './messages/01-fetch.js';
import { listOffsetsRequest, listOffsetsResponse } from './messages/02-list-offsets.js';
import { metadataRequest, metadataResponse } from './messages/03-metadata.js';
import { offsetCommitRequest, offsetCommitResponse } from './messages/08-offset-commit.js';
import { offsetFetchRequest, offsetFetchResponse } from './messages/09-offset-fetch.js';
import { findCoordinatorRequest, findCoordinatorResponse } from './messages/10-find-coordinator.js';
import { joinGroupRequest, joinGroupResponse } from './messages/11-join-group.js';
import { heartbeatRequest, heartbeatResponse } from './messages/12-heartbeat.js';
import { leaveGroupRequest, leaveGroupResponse } from './messages/13-leave-group.js';
import { syncGroupRequest, syncGroupResponse } from './messages/14-sync-group.js';
import { describeGroupsRequest, describeGroupsResponse } from './messages/15-describe-groups.js';
import { listGroupsRequest, listGroupsResponse } from './messages/16-list-groups.js';
import { saslHandshakeRequest, saslHandshakeResponse } from './messages/17-sasl-handshake.js';
import { apiVersionsRequest, apiVersionsResponse } from './messages/18-api-versions.js';
import { createTopicsRequest, createTopicsResponse } from './messages/19-create-topics.js';
import { deleteTopicsRequest, deleteTopicsResponse } from './messages/20-delete-topics.js';
import { deleteRecordsRequest, deleteRecordsResponse } from './messages/21-delete-records.js';
import { initProducerIdRequest, initProducerIdResponse } from './messages/22-init-producer-id.js';
import {
  offsetForLeaderEpochRequest,
  offsetForLeaderEpochResponse,
} from './messages/23-offset-for-leader-epoch.js';
import { describeConfigsRequest, describeConfigsResponse } from './messages/32-describe-configs.js';
import { alterConfigsRequest, alterConfigsResponse } from './messages/33-alter-configs.js';
import {
  saslAuthenticateRequest,
  saslAuthenticateResponse,
} from './messages/36-sasl-authenticate.js';
import {
  createPartitionsRequest,
  createPartitionsResponse,
} from './messages/37-create-partitions.js';
import { deleteGroupsRequest, deleteGroupsResponse } from './messages/42-delete-groups.js';
import {
  incrementalAlterConfigsRequest,
  incrementalAlterConfigsResponse,
} from './messages/44-incremental-alter-configs.js';
import { offsetDeleteRequest, offsetDeleteResponse } from './messages/47-offset-delete.js';
import { describeClusterRequest, describeClusterResponse } from './messages/60-describe-cluster.js';

/** One Kafka API: its messages, and the versions that we offer, which may be fewer than declared. */
export interface Api<Request extends Fields = Fields, Response extends Fields = Fields> {
  readonly name: string;
  readonly key: number;
  /** The range for the ApiVersions response. Requests outside of it are not served. */
  readonly minVersion: number;
  readonly maxVersion: number;
  /** null: no version is flexible. */
  readonly flexibleSince: number | null;
  /** false: declared for later; not in the ApiVersions response, not served. */
  readonly advertised: boolean;
  readonly request: Message<Request>;
  readonly response: Message<Response>;
}

/**
 * The ranges are chosen by what clients do with them. Minima: librdkafka before 2.11 switches a
 * feature off unless the range contains one certain version (groups need 0, OffsetFetch 1,
 * OffsetCommit 2, and Produce 0 for compression, though versions 0 to 2 are refused, KAFKA-18659).
 * Maxima: Produce 13, Fetch 13, OffsetCommit 10 and OffsetFetch 10 would switch to topic ids.
 */
export const apis = {
  produce: api('Produce', produceRequest, produceResponse, [0, 12]),
  fetch: api('Fetch', fetchRequest, fetchResponse, [4, 18]),
  listOffsets: api('ListOffsets', listOffsetsRequest, listOffsetsResponse, [1, 9]),
  metadata: api('Metadata', metadataRequest, metadataResponse, [0, 12]),
  offsetCommit: api('OffsetCommit', offsetCommitRequest, offsetCommitResponse, [2, 9]),
  offsetFetch: api('OffsetFetch', offsetFetchRequest, offsetFetchResponse, [1, 9]),
  findCoordinator: api('FindCoordinator', findCoordinatorRequest, findCoordinatorResponse, [0, 5]),
  joinGroup: api('JoinGroup', joinGroupRequest, joinGroupResponse, [0, 9]),
  heartbeat: api('Heartbeat', heartbeatRequest, heartbeatResponse, [0, 4]),
  leaveGroup: api('LeaveGroup', leaveGroupRequest, leaveGroupResponse, [0, 5]),
  syncGroup: api('SyncGroup', syncGroupRequest, syncGroupResponse, [0, 5]),
  describeGroups: api('DescribeGroups', describeGroupsRequest, describeGroupsResponse, [0, 6]),
  listGroups: api('ListGroups', listGroupsRequest, listGroupsResponse, [0, 5]),
  apiVersions: api('ApiVersions', apiVersionsRequest, apiVersionsResponse, [0, 4]),
  createTopics: api('CreateTopics', createTopicsRequest, createTopicsResponse, [2, 7]),
  deleteTopics: api('DeleteTopics', deleteTopicsRequest, deleteTopicsResponse, [1, 6]),
  initProducerId: api('InitProducerId', initProducerIdRequest, initProducerIdResponse, [0, 5]),
  offsetForLeaderEpoch: api(
    'OffsetForLeaderEpoch',
    offsetForLeaderEpochRequest,
    offsetForLeaderEpochResponse,
    [2, 4],
  ),
  describeConfigs: api('DescribeConfigs', describeConfigsRequest, describeConfigsResponse, [1, 4]),
  describeCluster: api('DescribeCluster', describeClusterRequest, describeClusterResponse, [0, 2]),
  saslHandshake: unadvertised('SaslHandshake', saslHandshakeRequest, saslHandshakeResponse, [0, 1]),
  deleteRecords: api('DeleteRecords', deleteRecordsRequest, deleteRecordsResponse, [0, 2]),
  alterConfigs: api('AlterConfigs', alterConfigsRequest, alterConfigsResponse, [0, 2]),
  saslAuthenticate: unadvertised(
    'SaslAuthenticate',
    saslAuthenticateRequest,
    saslAuthenticateResponse,
    [0, 2],
  ),
  createPartitions: unadvertised(
    'CreatePartitions',
    createPartitionsRequest,
    createPartitionsResponse,
    [0, 3],
  ),
  deleteGroups: unadvertised('DeleteGroups', deleteGroupsRequest, deleteGroupsResponse, [0, 2]),
  incrementalAlterConfigs: api(
    'IncrementalAlterConfigs',
    incrementalAlterConfigsRequest,
    incrementalAlterConfigsResponse,
    [0, 1],
  ),
  offsetDelete: unadvertised('OffsetDelete', offsetDeleteRequest, offsetDeleteResponse, [0, 0]),
} as const;

export type ApiName = keyof typeof apis;

const byKey: readonly (Api | undefined)[] = indexByKey();

/** In the order of their keys; what the ApiVersions response lists. */
export const advertisedApis: readonly Api[] = byKey.filter(
  (each) => each?.advertised === true,
) as Api[];

/** Also finds declared APIs that are not advertised. */
export function apiByKey(key: number): Api | undefined {
  return byKey[key];
}

/** Whether a request with this key and version is served. */
export function isServed(key: number, version: number): boolean {
  const found = apiByKey(key);
  if (found?.advertised !== true) return false;
  return includesVersion({ min: found.minVersion, max: found.maxVersion }, version);
}

function indexByKey(): (Api | undefined)[] {
  const index: (Api | undefined)[] = [];
  for (const each of Object.values(apis) as Api[]) index[each.key] = each;
  return index;
}

function api<Request extends Fields, Response extends Fields>(
  name: string,
  request: Message<Request>,
  response: Message<Response>,
  [minVersion, maxVersion]: readonly [number, number],
): Api<Request, Response> {
  checkDeclared(request, minVersion, maxVersion);
  checkDeclared(response, minVersion, maxVersion);
  invariant(request.apiKey === response.apiKey, `${name}: request and response have one key`);
  const { apiKey: key, flexibleSince } = request;
  return {
    name,
    key,
    minVersion,
    maxVersion,
    flexibleSince,
    advertised: true,
    request,
    response,
  };
}

function unadvertised<Request extends Fields, Response extends Fields>(
  ...declaration: Parameters<typeof api<Request, Response>>
): Api<Request, Response> {
  return { ...api(...declaration), advertised: false };
}

function checkDeclared(declared: AnyMessage, minVersion: number, maxVersion: number): void {
  invariant(
    declared.minVersion <= minVersion && declared.maxVersion >= maxVersion,
    `${declared.name} declares the versions that are advertised`,
  );
}
