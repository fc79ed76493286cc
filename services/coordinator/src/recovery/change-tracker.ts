import { limits } from '@kafscale/core';
import type { FeedEvent, FeedListener, FeedMessage, OffsetRange } from '@kafscale/cluster';
import type { OffsetRange as IndexedRange } from '@kafscale/metadata';

/** What is not in the bucket's index yet. */
export interface Changes {
  /**
   * Something may have changed that nobody here saw: a new owner, or a write whose outcome was
   * unknown. Then only the time of the last entry says where to begin.
   */
  readonly isUnknown: boolean;
  readonly partitionIds: readonly number[];
  readonly ranges: readonly IndexedRange[];
  readonly topicIds: readonly string[];
  readonly deletedTopicIds: readonly string[];
  readonly groupIds: readonly string[];
}

interface DirtyPartition {
  /** Rows from here to the end are new; null: none. */
  newFrom: number | null;
  /** Rows that were replaced by others. */
  swapped: OffsetRange[];
}

/**
 * Remembers what has changed since the last manifest, by listening to the feed: so an idle cluster
 * costs no query, and a commit costs a look into a map per extent. Grows with partitions, topics and
 * groups, not with what is written to them.
 */
export class ChangeTracker implements FeedListener {
  readonly #onChange: () => void;
  #isUnknown = true;
  #partitions = new Map<number, DirtyPartition>();
  #topicIds = new Set<string>();
  #deletedTopicIds = new Set<string>();
  #groupIds = new Set<string>();

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  onMessage(message: FeedMessage): void {
    if (message.kind === 'snapshot') this.forget();
    else for (const event of message.events) this.#note(event);
  }

  onClosed(): void {
    this.forget();
  }

  groupChanged(groupId: string): void {
    if (this.#groupIds.size >= limits.indexDirtyGroupsMax) this.forget();
    else this.#groupIds.add(groupId);
    this.#onChange();
  }

  /** What was taken did not get into the bucket, or something was missed. */
  forget(): void {
    this.#clear();
    this.#isUnknown = true;
    this.#onChange();
  }

  get isClean(): boolean {
    return (
      !this.#isUnknown &&
      this.#partitions.size === 0 &&
      this.#topicIds.size === 0 &&
      this.#deletedTopicIds.size === 0 &&
      this.#groupIds.size === 0
    );
  }

  /** Everything so far. What comes from now on is in the next. */
  take(): Changes {
    const changes: Changes = {
      isUnknown: this.#isUnknown,
      partitionIds: [...this.#partitions.keys()],
      ranges: [...this.#partitions].flatMap(([partitionId, dirty]) => rangesOf(partitionId, dirty)),
      topicIds: [...this.#topicIds],
      deletedTopicIds: [...this.#deletedTopicIds],
      groupIds: [...this.#groupIds],
    };
    this.#clear();
    this.#isUnknown = false;
    return changes;
  }

  #clear(): void {
    this.#partitions = new Map();
    this.#topicIds = new Set();
    this.#deletedTopicIds = new Set();
    this.#groupIds = new Set();
  }

  #note(event: FeedEvent): void {
    switch (event.kind) {
      case 'committed':
        for (const { baseOffset, partitionId } of event.extents) {
          const dirty = this.#dirty(partitionId);
          dirty.newFrom ??= baseOffset;
        }
        break;
      case 'logStart':
        this.#dirty(event.partitionId);
        break;
      case 'swapped':
        for (const range of event.ranges) {
          const { swapped } = this.#dirty(range.partitionId);
          swapped.push(range);
          if (swapped.length > limits.indexDirtyRangesMax) join(swapped);
        }
        break;
      case 'topic':
        this.#topicIds.add(event.topic.topicId);
        for (const { partitionId } of event.topic.partitions) this.#dirty(partitionId);
        break;
      case 'topicDeleted':
        this.#topicIds.delete(event.topicId);
        this.#deletedTopicIds.add(event.topicId);
        break;
    }
    this.#onChange();
  }

  #dirty(partitionId: number): DirtyPartition {
    const known = this.#partitions.get(partitionId);
    if (known !== undefined) return known;
    const dirty: DirtyPartition = { newFrom: null, swapped: [] };
    this.#partitions.set(partitionId, dirty);
    return dirty;
  }
}

/** Ranges that do not overlap, so that no row is read twice. */
function rangesOf(partitionId: number, { newFrom, swapped }: DirtyPartition): IndexedRange[] {
  const ranges = swapped
    .map((range) => ({
      partitionId,
      from: range.baseOffset,
      to: range.nextOffset as number | null,
    }))
    .sort((left, right) => left.from - right.from);
  if (newFrom !== null) ranges.push({ partitionId, from: newFrom, to: null });
  const joined: IndexedRange[] = [];
  for (const range of ranges) {
    const last = joined[joined.length - 1];
    if (last === undefined || (last.to !== null && range.from >= last.to)) joined.push(range);
    else
      joined[joined.length - 1] = {
        ...last,
        from: Math.min(last.from, range.from),
        to: laterEnd(last.to, range.to),
      };
  }
  return joined;
}

function laterEnd(left: number | null, right: number | null): number | null {
  return left === null || right === null ? null : Math.max(left, right);
}

/** One range that covers all. */
function join(ranges: OffsetRange[]): void {
  const [first] = ranges;
  if (first === undefined) return;
  const baseOffset = Math.min(...ranges.map((range) => range.baseOffset));
  const nextOffset = Math.max(...ranges.map((range) => range.nextOffset));
  ranges.splice(0, ranges.length, { ...first, baseOffset, nextOffset });
}
