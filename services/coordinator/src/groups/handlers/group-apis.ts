import type { KafkaApi } from '../../handlers/kafka-api.js';
import type { GroupManager } from '../group-manager.js';
import { offsetCommitApi } from './08-offset-commit.js';
import { offsetFetchApi } from './09-offset-fetch.js';
import type { LocateCoordinator } from './10-find-coordinator.js';
import { findCoordinatorApi } from './10-find-coordinator.js';
import { joinGroupApi } from './11-join-group.js';
import { heartbeatApi } from './12-heartbeat.js';
import { leaveGroupApi } from './13-leave-group.js';
import { syncGroupApi } from './14-sync-group.js';
import { describeGroupsApi } from './15-describe-groups.js';
import { listGroupsApi } from './16-list-groups.js';
import type { TopicDirectory } from './topic-directory.js';

export interface GroupApisOptions {
  readonly manager: GroupManager;
  readonly topics: TopicDirectory;
  readonly locateCoordinator: LocateCoordinator;
}

/** Every API of group coordination. */
export function groupApis(options: GroupApisOptions): readonly KafkaApi[] {
  const { locateCoordinator, manager, topics } = options;
  return [
    offsetCommitApi(manager, topics),
    offsetFetchApi(manager, topics),
    findCoordinatorApi(locateCoordinator),
    joinGroupApi(manager),
    heartbeatApi(manager),
    leaveGroupApi(manager),
    syncGroupApi(manager),
    describeGroupsApi(manager),
    listGroupsApi(manager),
  ];
}
