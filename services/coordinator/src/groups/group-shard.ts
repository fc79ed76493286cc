import { describeError, invariant, isOperatingError, limits, sleep } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { GroupStore, Lease, OffsetKey, StoredOffset } from '@kafscale/metadata';
import type { CoordinatorLog } from '../observability.js';
import { groupError } from './group-errors.js';
import type { LiveGroupHost } from './live-group.js';
import { LiveGroup } from './live-group.js';
import { OffsetCommitter } from './offset-committer.js';
import type { Scheduler } from './scheduler.js';
import { ClassicGroup } from './state/classic-group.js';
import type { GroupSettings } from './state/group-core.js';
import type { GroupState } from './state/group-state.js';
import { groupStates } from './state/group-state.js';

export interface GroupShardOptions {
  readonly lease: Lease;
  readonly store: GroupStore;
  readonly settings: GroupSettings;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly log: CoordinatorLog;
  holds(): boolean;
  /** A write found that the lease is lost. */
  onLeaseLost(): void;
}

export interface ListedGroup {
  readonly groupId: string;
  readonly protocolType: string;
  readonly state: GroupState;
}

/** How many groups in memory are looked at for one to forget. */
const evictionScanMax = 100;

/**
 * The groups of a shard during one lease epoch. Each is read from the store when it is first asked
 * for; nothing in here outlives the epoch.
 */
export class GroupShard {
  readonly #options: GroupShardOptions;
  /** Least recently used first. */
  readonly #groups = new Map<string, LiveGroup>();
  readonly #loading = new Map<string, Promise<LiveGroup | null>>();
  readonly #offsets: OffsetCommitter;
  readonly #host: LiveGroupHost;
  readonly #closing = new AbortController();
  #resumed: Promise<void> | null = null;
  #refusals = 0;

  constructor(options: GroupShardOptions) {
    const { clock, log, scheduler, store } = options;
    this.#options = options;
    this.#offsets = new OffsetCommitter(async (commitments) => {
      try {
        await store.commitOffsets(commitments);
      } catch (error) {
        this.#writeFailed(error);
        throw error;
      }
    });
    this.#host = {
      clock,
      log,
      scheduler,
      holds: () => this.holds(),
      refusals: () => this.#refusals,
      save: (record) => store.save(record),
      saveFailed: (error) => this.#writeFailed(error),
    };
  }

  get epoch(): number {
    return this.#options.lease.epoch;
  }

  get groupCount(): number {
    return this.#groups.size;
  }

  holds(): boolean {
    return !this.#closing.signal.aborted && this.#options.holds();
  }

  /**
   * Reads the groups that have members in the background, so that the sessions of those that do not
   * come back end. Requests do not wait for it. Resolves when it is through, or the shard is closed.
   */
  resume(): Promise<void> {
    this.#resumed ??= this.#resumeAll();
    return this.#resumed;
  }

  close(): void {
    this.#closing.abort();
    for (const group of this.#groups.values()) group.unload();
    this.#groups.clear();
  }

  /** Null: there is no such group. */
  async find(groupId: string): Promise<LiveGroup | null> {
    this.#requireLease();
    const known = this.#touch(groupId);
    if (known !== undefined) return known;
    const group = await this.#load(groupId);
    this.#requireLease();
    return group;
  }

  async findOrCreate(groupId: string): Promise<LiveGroup> {
    const found = await this.find(groupId);
    // Several may have waited for the same load.
    return (
      found ?? this.#touch(groupId) ?? this.#add(new ClassicGroup(groupId, this.#options.settings))
    );
  }

  /** Writes what a group has admitted. */
  commitOffsets(groupId: string, offsets: readonly StoredOffset[]): Promise<void> {
    invariant(offsets.length > 0, 'a commit commits something');
    this.#requireLease();
    return this.#offsets.commit({ groupId, offsets });
  }

  fetchOffsets(
    groupId: string,
    keys: readonly OffsetKey[] | null,
  ): Promise<readonly StoredOffset[]> {
    this.#requireLease();
    const { store } = this.#options;
    return keys === null ? store.fetchAllOffsets(groupId) : store.fetchOffsets(groupId, keys);
  }

  /** What is stored, as far as memory does not know better. */
  async list(): Promise<readonly ListedGroup[]> {
    this.#requireLease();
    const stored = await this.#options.store.list();
    this.#requireLease();
    const listed: ListedGroup[] = [];
    const seen = new Set<string>();
    for (const { groupId, memberCount, protocolType } of stored) {
      seen.add(groupId);
      const group = this.#groups.get(groupId)?.group;
      const storedState = memberCount > 0 ? groupStates.stable : groupStates.empty;
      listed.push({
        groupId,
        protocolType: group?.protocolType || (protocolType ?? ''),
        state: group?.state ?? storedState,
      });
    }
    for (const [groupId, { group }] of this.#groups) {
      if (seen.has(groupId) || group.isIdle) continue;
      listed.push({ groupId, protocolType: group.protocolType, state: group.state });
    }
    return listed;
  }

  #touch(groupId: string): LiveGroup | undefined {
    const group = this.#groups.get(groupId);
    if (group === undefined) return undefined;
    this.#groups.delete(groupId);
    this.#groups.set(groupId, group);
    return group;
  }

  /** One read per group, however many ask. */
  #load(groupId: string): Promise<LiveGroup | null> {
    const loading = this.#loading.get(groupId);
    if (loading !== undefined) return loading;
    const load = this.#loadNow(groupId).finally(() => this.#loading.delete(groupId));
    this.#loading.set(groupId, load);
    return load;
  }

  async #loadNow(groupId: string): Promise<LiveGroup | null> {
    const { clock, log, settings, store } = this.#options;
    try {
      const stored = await store.load(groupId);
      this.#requireLease();
      // A JoinGroup may have created it while the store said that there is none.
      const known = this.#groups.get(groupId);
      if (known !== undefined) return known;
      if (stored === null) return null;
      return this.#add(ClassicGroup.restore(stored, settings, clock.monotonicMs()));
    } catch (error) {
      if (!isOperatingError(error) || error.code.startsWith('GROUPS_')) throw error;
      log.error({ groupId, code: error.code }, `group not loaded: ${describeError(error)}`);
      if (!error.retriable) throw error;
      throw groupError('GROUP_LOAD_FAILED', `group '${groupId}' could not be loaded`, error);
    }
  }

  #add(group: ClassicGroup): LiveGroup {
    invariant(!this.#groups.has(group.groupId), 'a group is in memory once');
    if (this.#groups.size >= limits.groupsInMemoryMax) this.#evict();
    const live = new LiveGroup(group, this.#host);
    this.#groups.set(group.groupId, live);
    return live;
  }

  #evict(): void {
    let scanned = 0;
    for (const [groupId, group] of this.#groups) {
      if (group.isEvictable) {
        group.unload();
        this.#groups.delete(groupId);
        return;
      }
      scanned += 1;
      if (scanned === evictionScanMax) break;
    }
    throw groupError('GROUPS_TOO_MANY', `${this.#groups.size} groups are in use`);
  }

  async #resumeAll(): Promise<void> {
    const { log, store } = this.#options;
    const { signal } = this.#closing;
    let afterGroupId = '';
    while (!signal.aborted) {
      try {
        const groupIds = await store.groupsWithMembers(afterGroupId, limits.groupLoadPageMax);
        for (const groupId of groupIds) {
          await this.#resume(groupId);
          afterGroupId = groupId;
        }
        if (groupIds.length < limits.groupLoadPageMax) return;
      } catch (error) {
        if (!isOperatingError(error)) throw error;
        log.warn({ code: error.code, afterGroupId }, 'groups are not all loaded yet');
        await sleep(limits.groupRetryMs, signal);
      }
    }
  }

  /** A group that can never be read is passed over: it has been logged. */
  async #resume(groupId: string): Promise<void> {
    try {
      await this.find(groupId);
    } catch (error) {
      if (!isOperatingError(error) || error.retriable) throw error;
    }
  }

  #requireLease(): void {
    if (this.holds()) return;
    this.#refusals += 1;
    throw groupError('GROUPS_NOT_OWNED', 'the lease of the shard does not hold');
  }

  #writeFailed(error: unknown): void {
    if (!isOperatingError(error)) return;
    const { code, message } = error;
    this.#options.log.warn({ code }, `groups were not written: ${message}`);
    if (code === 'SHARD_LEASE_LOST') this.#options.onLeaseLost();
  }
}
