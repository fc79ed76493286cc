import {
  fetchRequest,
  fetchResponse,
  isServed,
  listOffsetsRequest,
  listOffsetsResponse,
  offsetForLeaderEpochRequest,
  offsetForLeaderEpochResponse,
  ProtocolError,
} from '@kafscale/codec';
import type { BlockService, FetchService, KafkaReply, KafkaRequest } from '@kafscale/cluster';
import {
  type Clock,
  describeError,
  isOperatingError,
  limits,
  systemClock,
  MemoryPool,
  SlabMemory,
} from '@kafscale/core';
import type { ObjectStore } from '@kafscale/storage';
import { BadExtents } from './blocks/bad-extents.js';
import { BlockCache } from './blocks/block-cache.js';
import { BlockLoader } from './blocks/block-loader.js';
import { HedgedReads } from './blocks/hedged-reads.js';
import { Lease } from './blocks/lease.js';
import { type LoadClass, LoadQueue, type LoadResult } from './blocks/load-queue.js';
import { type RecentSegmentReader, SegmentSource } from './blocks/segment-source.js';
import { BatchIndexes } from './extents/batch-indexes.js';
import { ExtentIndex } from './extents/extent-index.js';
import { HotIndex } from './extents/hot-index.js';
import { RangeCache } from './extents/range-cache.js';
import { FeedFollower } from './feed-follower.js';
import { defaultFetchLimits, type FetchLimits } from './fetch-limits.js';
import type { FetchLog } from './fetch-log.js';
import { Gate } from './gate.js';
import { handleFetch } from './handlers/01-fetch.js';
import { handleListOffsets } from './handlers/02-list-offsets.js';
import { handleOffsetForLeaderEpoch } from './handlers/23-offset-for-leader-epoch.js';
import type { HandlerContext } from './handlers/context.js';
import type { FetchMetrics } from './metrics.js';
import type { BlockPeers } from './owners/block-peers.js';
import { BlockServer } from './owners/block-server.js';
import type { OwnerLoadsOptions } from './owners/owner-loads.js';
import { OwnerSource } from './owners/owner-source.js';
import { LogReader } from './read/log-reader.js';
import { ReaderMemory } from './read/reader-memory.js';
import { TimestampSearch } from './read/timestamp-search.js';
import { UpcomingExtents } from './read/upcoming-extents.js';
import { Waiters } from './read/waiters.js';
import type { FetchCoordinator, FetchReplica } from './replica.js';
import { SessionCache } from './sessions/session-cache.js';

export interface FetchServiceOptions {
  /** Make the service before the replica gets its first snapshot, so that it sees every event. */
  readonly replica: FetchReplica;
  readonly coordinator: FetchCoordinator;
  readonly store: Pick<ObjectStore, 'read' | 'readTail'>;
  /** Reads that are late are sent a second time. Default: false, it is on the same machine. */
  readonly isStoreRemote?: boolean;
  /** The ingest node of that id, to read what it wrote a moment ago; undefined if not live. */
  readonly recentSegments: (nodeId: number) => RecentSegmentReader | undefined;
  /**
   * The fetch nodes that share the loading of blocks. Absent: there is but this one, or to ask another
   * would cost more than to read.
   */
  readonly blockPeers?: BlockPeers;
  readonly log: FetchLog;
  readonly metrics: FetchMetrics;
  readonly clock?: Clock;
  readonly limits?: Partial<FetchLimits>;
}

export interface ClosableFetchService extends FetchService {
  /** For the other fetch nodes. */
  readonly blocks: BlockService;
  /** Ends long polls at once; requests under way are answered with what there is. */
  close(): void;
}

/** Serves Fetch, ListOffsets and OffsetForLeaderEpoch. */
export function createFetchService(options: FetchServiceOptions): ClosableFetchService {
  const { replica, log, metrics, coordinator, clock = systemClock } = options;
  const fetchLimits: FetchLimits = { ...defaultFetchLimits, ...options.limits };
  const index = createIndex(options, fetchLimits);
  const upcoming = options.isStoreRemote === true ? createUpcoming(fetchLimits, clock) : undefined;
  const loader = createLoader(options, fetchLimits, upcoming);
  const waiters = new Waiters(fetchLimits.waitersMax);
  const follower = new FeedFollower({ replica, index, waiters });
  const parts: Parts = {
    replica,
    reader: new LogReader({
      index,
      loader,
      upcoming,
      metrics,
      patience: { graceMs: fetchLimits.loadGraceMs, giveUpMs: fetchLimits.loadWaitMsMax },
      bytesInFlightMax: fetchLimits.fetchBytesInFlightMax,
    }),
    search: new TimestampSearch({ replica, coordinator, index, loader, log }),
    searchGate: new Gate(limits.listOffsetsReadsInFlightMax),
    readers: createReaderMemory(fetchLimits, clock),
    waiters,
    sessions: createSessions(fetchLimits, metrics, clock),
    limits: fetchLimits,
    clock,
    log,
    metrics,
  };
  metrics.gauge('fetch_waiting_requests', () => waiters.count);
  return {
    handle: (request, signal) => handle(parts, request, signal),
    blocks: new BlockServer({
      loader,
      metrics,
      bytesInFlightMax: fetchLimits.peerReadBytesInFlightMax,
    }),
    close() {
      follower.close();
      waiters.close();
      loader.close();
    },
  };
}

/** What all requests share. */
type Parts = Omit<HandlerContext, 'lease'>;

async function handle(
  parts: Parts,
  request: KafkaRequest,
  signal: AbortSignal,
): Promise<KafkaReply> {
  const { clock, metrics } = parts;
  const startMs = clock.monotonicMs();
  const lease = new Lease();
  try {
    const chunks = await answer({ ...parts, lease }, request, signal);
    if (chunks === null) return { kind: 'close', reason: 'the client has gone' };
    metrics.count('fetch_requests_total');
    metrics.observe('fetch_request_seconds', clock.monotonicMs() - startMs);
    return { kind: 'response', chunks, release: () => lease.release() };
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    return { kind: 'close', reason: `${error.code}: ${describeError(error)}` };
  }
}

/** The response body; null: the connection has gone. Rejects with ProtocolError on a bad body. */
async function answer(
  context: HandlerContext,
  envelope: KafkaRequest,
  signal: AbortSignal,
): Promise<readonly Uint8Array[] | null> {
  const { apiKey, apiVersion: version, body } = envelope;
  if (!isServed(apiKey, version)) throw unsupported(apiKey, version);
  switch (apiKey) {
    case fetchRequest.apiKey: {
      const request = fetchRequest.decode(body, version);
      const response = await handleFetch(context, envelope, request, signal);
      return response && fetchResponse.encode(response, version);
    }
    case listOffsetsRequest.apiKey: {
      const request = listOffsetsRequest.decode(body, version);
      const response = await handleListOffsets(context, { request, version, signal });
      return response && listOffsetsResponse.encode(response, version);
    }
    case offsetForLeaderEpochRequest.apiKey: {
      const request = offsetForLeaderEpochRequest.decode(body, version);
      const response = await handleOffsetForLeaderEpoch(context, request, signal);
      return response && offsetForLeaderEpochResponse.encode(response, version);
    }
    default:
      throw unsupported(apiKey, version);
  }
}

function unsupported(apiKey: number, version: number): ProtocolError {
  const message = `fetch does not serve API ${apiKey} version ${version}`;
  return new ProtocolError('UNSUPPORTED_MESSAGE_VERSION', message);
}

function createIndex(options: FetchServiceOptions, bounds: FetchLimits): ExtentIndex {
  const hot = new HotIndex({
    extentsPerPartitionMax: bounds.hotIndexExtentsPerPartitionMax,
    extentsMax: bounds.hotIndexExtentsMax,
  });
  const ranges = new RangeCache(bounds.cachedIndexExtentsMax);
  const { metrics, store } = options;
  const batchIndexes = new BatchIndexes({
    store,
    metrics,
    entriesMax: bounds.batchIndexEntriesMax,
    undividedBytesMax: bounds.undividedBytesMax,
  });
  metrics.gauge('fetch_batch_index_parts', () => batchIndexes.entryCount);
  metrics.gauge('fetch_hot_index_extents', () => hot.extentCount);
  metrics.gauge('fetch_cached_index_extents', () => ranges.extentCount);
  return new ExtentIndex({
    hot,
    ranges,
    source: options.coordinator,
    batchIndexes,
    limits: {
      extentsPerLookupMax: bounds.extentsPerLookupMax,
      lookupsInFlightMax: bounds.indexLookupsInFlightMax,
      tailExtents: limits.tailExtentsPerPartition,
    },
  });
}

function createUpcoming(bounds: FetchLimits, clock: Clock): UpcomingExtents {
  return new UpcomingExtents(
    {
      readersMax: limits.sharedReadersMax,
      idleMsMax: limits.fetchReaderIdleMsMax,
      // What lagging readers keep of the cache in any case: nobody evicts it before it is wanted.
      bytesMax: Math.floor(bounds.blockCacheBytes * bounds.catchUpCacheShare),
      bytesPerReaderMax: limits.sharedReadBytesPerReaderMax,
      extentsMax: limits.sharedReadExtentsMax,
    },
    clock,
  );
}

function createLoader(
  options: FetchServiceOptions,
  bounds: FetchLimits,
  upcoming: UpcomingExtents | undefined,
): BlockLoader {
  const { store, recentSegments, log, metrics, clock = systemClock } = options;
  const hedged = options.isStoreRemote === true ? createHedging(options, clock) : undefined;
  const cache = new BlockCache({
    bytesMax: bounds.blockCacheBytes,
    catchUpBytesMax: Math.floor(bounds.blockCacheBytes * bounds.catchUpCacheShare),
  });
  const queue = new LoadQueue<LoadResult>({
    lengthMax: bounds.coalescedReadBytesMax,
    gapMax: bounds.coalescedReadGapBytesMax,
  });
  const memory = createBlockMemory(bounds);
  metrics.gauge('fetch_block_cache_bytes', () => cache.bytes);
  metrics.gauge('fetch_block_memory_idle_bytes', () => memory.idleBytes);
  metrics.gauge('fetch_loads_queued', () => queue.count);
  return new BlockLoader({
    cache,
    queue,
    upcoming,
    memory,
    source: new SegmentSource({ store, hedged, recentSegments, metrics }),
    owners: createOwners(options, bounds),
    bad: new BadExtents({
      clock,
      countMax: limits.badExtentsMax,
      retryAfterMs: bounds.badExtentRetryMs,
    }),
    readsMax: readsMaxOf(bounds, options.isStoreRemote ?? false),
    log,
    metrics,
    clock,
  });
}

function createBlockMemory(bounds: FetchLimits): SlabMemory {
  const { blockCacheBytes, blockMemoryIdleBytesMax: idleBytesMax } = bounds;
  return new SlabMemory({
    slabBytes: limits.blockSlabBytes,
    slabBytesMax: blockCacheBytes + idleBytesMax,
    idleBytesMax,
    small: new MemoryPool({
      idleBytesMax: limits.smallBlockMemoryIdleBytesMax,
      allocate: (bytes) => Buffer.allocUnsafeSlow(bytes),
    }),
  });
}

/** Local files are read by libuv's threads: a lagging reader must not have all of them. */
function readsMaxOf(bounds: FetchLimits, isStoreRemote: boolean): Record<LoadClass, number> {
  const { tailReadsMax: tail, catchUpReadsMax: catchUp, readAheadReadsMax: readAhead } = bounds;
  if (isStoreRemote) return { tail, catchUp, readAhead };
  return {
    tail,
    catchUp: Math.min(catchUp, limits.localCatchUpReadsMax),
    readAhead: Math.min(readAhead, limits.localReadAheadReadsMax),
  };
}

function createSessions(bounds: FetchLimits, metrics: FetchMetrics, clock: Clock): SessionCache {
  const sessions = new SessionCache({
    limits: {
      sessionsMax: bounds.fetchSessionsMax,
      partitionsMax: bounds.fetchSessionPartitionsMax,
      evictionMs: limits.fetchSessionEvictionMs,
    },
    clock,
    onEvicted: () => metrics.count('fetch_sessions_evicted_total'),
  });
  metrics.gauge('fetch_sessions', () => sessions.sessionCount);
  metrics.gauge('fetch_session_partitions', () => sessions.partitionCount);
  return sessions;
}

function createOwners(
  options: FetchServiceOptions,
  bounds: FetchLimits,
): OwnerLoadsOptions | undefined {
  const { blockPeers, log, metrics, clock = systemClock } = options;
  if (blockPeers === undefined) return undefined;
  const source = new OwnerSource({
    peers: blockPeers,
    limits: {
      ownedBlockBytes: bounds.ownedBlockBytes,
      extentBytesMax: limits.ownedExtentBytesMax,
      borrowedBytesMax: bounds.borrowedBlocksBytesMax,
      timeoutMs: bounds.ownerReadTimeoutMs,
      pauseMs: bounds.ownerPauseMs,
    },
    clock,
    log,
    metrics,
  });
  metrics.gauge('fetch_borrowed_bytes', () => source.borrowed.bytes);
  return {
    source,
    queue: new LoadQueue<LoadResult>({
      lengthMax: bounds.coalescedReadBytesMax,
      gapMax: bounds.coalescedReadGapBytesMax,
    }),
    readsMax: {
      tail: bounds.tailReadsMax,
      catchUp: bounds.catchUpReadsMax,
      readAhead: bounds.readAheadReadsMax,
    },
    bytesInFlightMax: bounds.ownerReadBytesInFlightMax,
  };
}

function createHedging({ store, metrics }: FetchServiceOptions, clock: Clock): HedgedReads {
  return new HedgedReads({
    store,
    clock,
    metrics,
    limits: {
      shareMax: limits.hedgedReadsShareMax,
      burstMax: limits.hedgedReadsBurstMax,
      samplesMax: limits.hedgeSamplesMax,
      samplesMin: limits.hedgeSamplesMin,
    },
  });
}

function createReaderMemory(bounds: FetchLimits, clock: Clock): ReaderMemory {
  return new ReaderMemory(
    {
      readersMax: limits.fetchReadersMax,
      streamsMax: limits.fetchStreamsMax,
      idleMsMax: limits.fetchReaderIdleMsMax,
      readAheadBytesPerPartitionMax: bounds.readAheadBytesPerPartitionMax,
      readAheadBytesMax: bounds.readAheadBytesMax,
    },
    clock,
  );
}
