import { errorCodes, type FetchRequest } from '@kafscale/codec';
import { type FetchSession, finalEpoch, initialEpoch, nextEpoch } from './fetch-session.js';
import { invalidSessionId, type SessionCache } from './session-cache.js';
import type { AnsweredPartition, SessionPartition, WantedPartition } from './session-partition.js';

/** What the response says, and for which session. */
export interface Conclusion<Answer> {
  /** Of the response as a whole; then it speaks of no partition. */
  readonly errorCode: number;
  readonly sessionId: number;
  readonly answers: readonly Answer[];
}

/** One request and its response, with respect to the session that they are part of, if any. */
export interface FetchExchange {
  /** All that is to be read, in the order in which it is to be served. */
  readonly wanted: readonly WantedPartition[];
  /** Their order says whose turn it is. */
  readonly isInTurn: boolean;
  /** `answers`: one for each wanted partition, in their order. */
  conclude<Answer extends AnsweredPartition>(answers: readonly Answer[]): Conclusion<Answer>;
}

/** The first version that names topics by their ids (KIP-516). */
export const topicIdsVersion = 13;

/**
 * FetchManager.newContext: what the request wants, by itself or by its session; or the error of the
 * whole response, when there is no such session (a restart, an eviction, another node: the client
 * begins anew with a full fetch) or it is somewhere else.
 */
export function openExchange(
  sessions: SessionCache,
  request: FetchRequest,
  version: number,
): FetchExchange | { readonly errorCode: number } {
  const usesTopicIds = version >= topicIdsVersion;
  const { sessionId, sessionEpoch } = request;
  const session = sessions.get(sessionId);
  if (sessionEpoch === initialEpoch || sessionEpoch === finalEpoch) {
    // Any session that a full fetch names is closed.
    if (session !== undefined) sessions.remove(session);
    return sessionEpoch === finalEpoch
      ? new SessionlessExchange(request)
      : new FullExchange(sessions, request, usesTopicIds);
  }
  if (session === undefined) return { errorCode: errorCodes.FETCH_SESSION_ID_NOT_FOUND };
  if (session.epoch !== sessionEpoch) return { errorCode: errorCodes.INVALID_FETCH_SESSION_EPOCH };
  if (session.usesTopicIds !== usesTopicIds) {
    return { errorCode: errorCodes.FETCH_SESSION_TOPIC_ID_ERROR };
  }
  for (const wanted of wantedOf(request)) session.put(wanted);
  session.forget(request.forgottenTopicsData);
  if (session.size === 0) {
    sessions.remove(session);
    return new SessionlessExchange(request);
  }
  if (!sessions.touch(session)) {
    sessions.remove(session);
    return { errorCode: errorCodes.FETCH_SESSION_ID_NOT_FOUND };
  }
  session.epoch = nextEpoch(session.epoch);
  return new IncrementalExchange(session);
}

class SessionlessExchange implements FetchExchange {
  readonly wanted: readonly WantedPartition[];
  readonly isInTurn = false;

  constructor(request: FetchRequest) {
    this.wanted = wantedOf(request);
  }

  conclude<Answer extends AnsweredPartition>(answers: readonly Answer[]): Conclusion<Answer> {
    return { errorCode: errorCodes.NONE, sessionId: invalidSessionId, answers };
  }
}

/** Begins a session, if there is room, when it is known what the client is told. */
class FullExchange implements FetchExchange {
  readonly wanted: readonly WantedPartition[];
  readonly isInTurn = false;
  readonly #sessions: SessionCache;
  readonly #usesTopicIds: boolean;

  constructor(sessions: SessionCache, request: FetchRequest, usesTopicIds: boolean) {
    this.#sessions = sessions;
    this.#usesTopicIds = usesTopicIds;
    this.wanted = wantedOf(request);
  }

  conclude<Answer extends AnsweredPartition>(answers: readonly Answer[]): Conclusion<Answer> {
    const session = this.#sessions.create(this.wanted.length, this.#usesTopicIds);
    const sessionId = session?.id ?? invalidSessionId;
    if (session !== undefined) {
      const partitions = this.wanted.map((wanted) => session.put(wanted));
      session.tell(partitions, answers);
      this.#sessions.touch(session);
    }
    return { errorCode: errorCodes.NONE, sessionId, answers };
  }
}

class IncrementalExchange implements FetchExchange {
  readonly wanted: readonly SessionPartition[];
  readonly isInTurn = true;
  readonly #session: FetchSession;
  readonly #nextEpoch: number;

  constructor(session: FetchSession) {
    this.#session = session;
    this.#nextEpoch = session.epoch;
    this.wanted = session.partitions();
  }

  conclude<Answer extends AnsweredPartition>(answers: readonly Answer[]): Conclusion<Answer> {
    const { id: sessionId, epoch } = this.#session;
    // Another request has used the session meanwhile: what this one read is not of its state.
    if (epoch !== this.#nextEpoch) {
      return { errorCode: errorCodes.INVALID_FETCH_SESSION_EPOCH, sessionId, answers: [] };
    }
    const told = this.#session.tell(this.wanted, answers);
    return { errorCode: errorCodes.NONE, sessionId, answers: told };
  }
}

function wantedOf({ topics }: FetchRequest): readonly WantedPartition[] {
  return topics.flatMap(({ topic, topicId, partitions }) =>
    partitions.map((requested): WantedPartition => ({ topic, topicId, requested })),
  );
}
