import { randomInt } from 'node:crypto';
import type { Clock } from '@kafscale/core';
import { FetchSession } from './fetch-session.js';

/** The id that says: there is no session. */
export const invalidSessionId = 0;
const sessionIdMax = 0x7fff_ffff;

export interface SessionCacheLimits {
  /** max.incremental.fetch.session.cache.slots */
  readonly sessionsMax: number;
  /** Over all sessions. Kafka has no such bound. */
  readonly partitionsMax: number;
  /** MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS */
  readonly evictionMs: number;
}

export interface SessionCacheOptions {
  readonly limits: SessionCacheLimits;
  readonly clock: Clock;
  readonly onEvicted: () => void;
}

/**
 * The sessions of this node, as Kafka's FetchSessionCacheShard keeps them: a new one takes the place
 * of one that was not used for two minutes, else of a smaller one that has lived for two minutes, else
 * there is none. (There are no followers here, so no session is privileged.)
 */
export class SessionCache {
  readonly #options: SessionCacheOptions;
  /** In order of use, oldest first. */
  readonly #sessions = new Map<number, FetchSession>();
  #partitionCount = 0;

  constructor(options: SessionCacheOptions) {
    this.#options = options;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  get partitionCount(): number {
    return this.#partitionCount;
  }

  get(sessionId: number): FetchSession | undefined {
    return this.#sessions.get(sessionId);
  }

  /** An empty session that is about to have `size` partitions and a {@link touch}; or undefined. */
  create(size: number, usesTopicIds: boolean): FetchSession | undefined {
    const nowMs = this.#options.clock.monotonicMs();
    if (size > this.#options.limits.partitionsMax) return undefined;
    while (!this.#hasRoom(size)) if (!this.#tryEvict(size, nowMs)) return undefined;
    const session = new FetchSession({ id: this.#newId(), createdMs: nowMs, usesTopicIds });
    this.#sessions.set(session.id, session);
    return session;
  }

  /** The session was used, and may have another size now. False: there is no room for that. */
  touch(session: FetchSession): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    this.#partitionCount += session.size - session.countedSize;
    session.countedSize = session.size;
    session.lastUsedMs = nowMs;
    session.isEvictable = nowMs - session.createdMs > this.#options.limits.evictionMs;
    this.#sessions.delete(session.id);
    this.#sessions.set(session.id, session);
    return this.#partitionCount <= this.#options.limits.partitionsMax;
  }

  remove(session: FetchSession): void {
    if (!this.#sessions.delete(session.id)) return;
    this.#partitionCount -= session.countedSize;
  }

  #hasRoom(size: number): boolean {
    const { sessionsMax, partitionsMax } = this.#options.limits;
    return this.#sessions.size < sessionsMax && this.#partitionCount + size <= partitionsMax;
  }

  #tryEvict(size: number, nowMs: number): boolean {
    const victim = this.#stale(nowMs) ?? this.#smallerThan(size);
    if (victim === undefined) return false;
    this.remove(victim);
    this.#options.onEvicted();
    return true;
  }

  #stale(nowMs: number): FetchSession | undefined {
    for (const oldest of this.#sessions.values()) {
      return nowMs - oldest.lastUsedMs > this.#options.limits.evictionMs ? oldest : undefined;
    }
    return undefined;
  }

  /** The smallest of those that may be evicted, if it is smaller than the new one. */
  #smallerThan(size: number): FetchSession | undefined {
    let smallest: FetchSession | undefined;
    for (const session of this.#sessions.values()) {
      if (!session.isEvictable) continue;
      if (smallest === undefined || isLess(session, smallest)) smallest = session;
    }
    return smallest !== undefined && smallest.countedSize < size ? smallest : undefined;
  }

  /** Random, so that a client whose node went away can not meet somebody else's session. */
  #newId(): number {
    for (;;) {
      const id = randomInt(1, sessionIdMax);
      if (!this.#sessions.has(id)) return id;
    }
  }
}

/** EvictableKey.compareTo */
function isLess(left: FetchSession, right: FetchSession): boolean {
  if (left.countedSize !== right.countedSize) return left.countedSize < right.countedSize;
  return left.id < right.id;
}
