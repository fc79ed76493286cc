import type { Clock } from '@kafscale/core';
import type { Lease } from '../blocks/lease.js';
import type { FetchLimits } from '../fetch-limits.js';
import type { FetchLog } from '../fetch-log.js';
import type { Gate } from '../gate.js';
import type { FetchMetrics } from '../metrics.js';
import type { LogReader } from '../read/log-reader.js';
import type { ReaderMemory } from '../read/reader-memory.js';
import type { Waiters } from '../read/waiters.js';
import type { FetchReplica } from '../replica.js';
import type { SessionCache } from '../sessions/session-cache.js';
import type { TimestampSearch } from '../read/timestamp-search.js';

/** The parts that the handlers work with. */
export interface HandlerContext {
  readonly replica: FetchReplica;
  readonly reader: LogReader;
  readonly search: TimestampSearch;
  /** Searches at the same time, over all requests: each may decompress a batch. */
  readonly searchGate: Gate;
  readonly readers: ReaderMemory;
  readonly waiters: Waiters;
  readonly sessions: SessionCache;
  readonly limits: FetchLimits;
  readonly clock: Clock;
  readonly log: FetchLog;
  readonly metrics: FetchMetrics;
  /** Of this request: the memory that its response is made of. */
  readonly lease: Lease;
}
