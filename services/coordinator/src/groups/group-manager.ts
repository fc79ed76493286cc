import { limits, systemClock } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import { openGroupStore } from '@kafscale/metadata';
import type { Lease, MetadataStore } from '@kafscale/metadata';
import type { CoordinatorLog } from '../observability.js';
import { groupError } from './group-errors.js';
import { GroupShard } from './group-shard.js';
import type { Scheduler } from './scheduler.js';
import { systemScheduler } from './scheduler.js';
import type { GroupSettings } from './state/group-core.js';

/** Who may answer for the shard. */
export interface ShardOwnership {
  /** The lease that this process has, expired or not. A new epoch is a new lease. */
  readonly lease: Lease | null;
  /** Whether it holds now, by the local monotonic clock. */
  holds(): boolean;
}

export interface GroupManagerOptions {
  readonly store: MetadataStore;
  readonly ownership: ShardOwnership;
  readonly log: CoordinatorLog;
  /** A write found that somebody else owns the shard. */
  readonly onLeaseLost: () => void;
  /** A group, or its offsets, was written. */
  readonly onGroupWritten?: (groupId: string) => void;
  readonly clock?: Clock;
  readonly scheduler?: Scheduler;
  /** Kafka's group.* settings; defaults are Kafka's. */
  readonly settings?: Partial<GroupSettings>;
}

export const groupSettingsDefault: GroupSettings = {
  initialRebalanceDelayMs: limits.groupInitialRebalanceDelayMs,
  membersMax: limits.groupMembersMax,
  protocolsBytesMax: limits.groupProtocolsBytesMax,
  assignmentBytesMax: limits.groupAssignmentBytesMax,
  newMemberJoinTimeoutMs: limits.groupNewMemberJoinTimeoutMs,
};

/**
 * The consumer groups of a shard, for whoever owns it. Memory is good for one lease epoch: when the
 * epoch has changed, everybody who waits is sent away (NOT_COORDINATOR) and the groups are read again.
 */
export class GroupManager {
  readonly #options: GroupManagerOptions;
  #shard: GroupShard | null = null;
  #closed = false;

  constructor(options: GroupManagerOptions) {
    this.#options = options;
  }

  /**
   * Call it when ownership was gained or lost: waiting clients learn it, and the sessions of stored
   * groups begin to run. (Without the call, the next request notices.)
   */
  ownershipChanged(): void {
    const { lease } = this.#options.ownership;
    if (this.#shard !== null && (lease === null || lease.epoch !== this.#shard.epoch)) {
      this.#shard.close();
      this.#shard = null;
    }
    if (this.#closed || this.#shard !== null || lease === null) return;
    this.#shard = this.#open(lease);
    void this.#shard.resume();
  }

  /** The groups of the epoch that is. Throws GROUPS_NOT_OWNED if there is none. */
  shard(): GroupShard {
    this.ownershipChanged();
    if (this.#shard === null) throw groupError('GROUPS_NOT_OWNED', 'another coordinator owns them');
    return this.#shard;
  }

  close(): void {
    this.#closed = true;
    this.#shard?.close();
    this.#shard = null;
  }

  #open(lease: Lease): GroupShard {
    const { log, onLeaseLost, ownership, store } = this.#options;
    return new GroupShard({
      lease,
      store: openGroupStore(store, lease, this.#options.onGroupWritten),
      settings: { ...groupSettingsDefault, ...this.#options.settings },
      clock: this.#options.clock ?? systemClock,
      scheduler: this.#options.scheduler ?? systemScheduler,
      log,
      holds: () => ownership.lease?.epoch === lease.epoch && ownership.holds(),
      onLeaseLost,
    });
  }
}
