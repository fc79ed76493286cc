/**
 * Every bound of the program, in one place, with its unit in its name. What an operator may change
 * is in shared/config and defaults to a value from here; the rest is fixed.
 */
const KiB = 1024;
const MiB = 1024 * KiB;

export const limits = {
  // Kafka protocol (defaults of Apache Kafka unless a reason is given)
  requestBytesMax: 100 * MiB, // socket.request.max.bytes
  messageBytesMax: 1_048_588, // message.max.bytes
  arrayElementsMax: 1_000_000, // Kafka 4.4's cap
  taggedFieldsMax: 64,
  topicNameLengthMax: 249,
  topicPartitionsMax: 10_000,
  offsetMetadataBytesMax: 4096, // offset.metadata.max.bytes
  fetchResponseBytesMax: 50 * MiB, // fetch.max.bytes of clients; also our own ceiling
  fetchWaitMsMax: 5 * 60_000,

  // Connections of the front
  connectionsMax: 10_000,
  connectionIdleMsMax: 10 * 60_000, // connections.max.idle.ms
  requestsInFlightPerConnectionMax: 32,
  requestBytesInFlightPerConnectionMax: 64 * MiB,
  requestBytesInFlightMax: 256 * MiB,
  responseBytesBufferedPerConnectionMax: 64 * MiB,
  frameCompletionMsMax: 30_000,
  sharedFrameBytesMin: 16 * KiB, // smaller ones are copied into segments
  frameSlabBytes: 32 * MiB, // larger frames are parts of it
  frameMemoryIdleBytesMax: 96 * MiB,
  socketReadBytes: 256 * KiB,
  socketReadBytesMin: 16 * KiB, // the first, after a pause, behind small ones
  responseDrainMsMax: 30_000, // a client that takes nothing of its responses for so long is dead

  // Write path
  segmentBytes: 8 * MiB,
  segmentBytesMin: 64 * KiB,
  segmentBytesMax: 128 * MiB,
  segmentExtentsMax: 20_000,
  segmentFooterBytesMax: 4 * MiB,
  segmentSectionsMax: 64,
  segmentTailBytes: 64 * KiB, // the first read of a footer: about 1,000 extents
  arenaChunkBytes: MiB + 64 * KiB, // a batch of message.max.bytes fits
  ingestBytesInFlightMax: 128 * MiB,
  uploadsInFlightMax: 16,
  uploadsThrottledShare: 0.5, // of the uploads in flight that stay, each time that the store throttles
  uploadWaitMsMax: 2 * 60_000, // delivery.timeout.ms of clients; less if the request says less
  sealJobsQueuedMax: 1024,
  idleChunkBytesMax: 32 * MiB,
  chunkSlabBytes: 32 * MiB, // chunks are parts of it
  sealThreads: 2,
  flushIntervalMsMax: 60_000, // of a node or a topic; well below commitAgeMsMax
  flushIntervalMsWithS3: 250,
  flushIntervalMsWithFiles: 0,
  flushInFlightMax: 4,
  flushOverlapBytesMin: 2 * MiB,
  flushGatherMsMax: 3,
  flushGatherSkipsMax: 64, // answers in a row that nothing is waited behind
  flushReturnGapMsMax: 20, // between an answer and what its producers send next, and within that
  flushReturnShareMin: 0.75, // of what was answered: when it has come back, no more is expected
  flushReturnBytesMin: 256 * KiB, // an object of less waits out its flush interval
  commitAgeMsMax: 5 * 60_000,
  commitTimeoutMs: 30_000,
  commitBackoffMsMin: 20,
  commitBackoffMsMax: 1_000,
  commitSegmentsPerTransactionMax: 32,
  produceThrottleMsMax: 1_000, // quota.window.size.seconds: what clients are told to wait at most
  produceDrainWindowMs: 2_000, // over which the rate is measured that this is reckoned with
  lostSequencesMax: 10_000,
  producerBatchesKept: 5, // ProducerStateEntry.NUM_BATCHES_TO_RETAIN
  recentSegmentsBytesMax: 64 * MiB,

  // Read path
  blockCacheBytes: 128 * MiB,
  catchUpCacheShare: 0.5,
  feedBacklogBytesMax: 64 * MiB,
  hotIndexExtentsPerPartitionMax: 1024,
  recordsDecompressedBytesMax: 128 * MiB, // of one batch; Kafka has no bound
  extentsPerLookupMax: 128,
  hotIndexExtentsMax: 65_536, // over all partitions
  cachedIndexExtentsMax: 65_536, // looked up, over all partitions
  batchIndexEntriesMax: 65_536, // parts of large extents, over all segments
  indexLookupsInFlightMax: 8,
  tailExtentsPerPartition: 64, // the newest ones, read with priority
  tailReadsMax: 16,
  catchUpReadsMax: 8,
  readAheadReadsMax: 4,
  readAheadBytesMax: 32 * MiB, // shared by all partitions that are read sequentially
  readAheadBytesPerPartitionMax: 4 * MiB,
  coalescedReadBytesMax: 8 * MiB,
  coalescedReadGapBytesMax: 64 * KiB,
  fetchBytesInFlightMax: 64 * MiB, // being loaded for responses, per kind of reader
  fetchWaitersMax: 1_000_000, // partitions over all long polls
  fetchReadersMax: 10_000, // connections whose reading is remembered
  fetchStreamsMax: 100_000, // partitions over all of them
  fetchReaderIdleMsMax: 60_000,
  loadGraceMs: 1_000, // how long ready partitions wait for a slow one
  loadWaitMsMax: 15_000, // below the 30 s that clients wait for a response
  badExtentsMax: 10_000,
  badExtentRetryMs: 10_000,
  localCatchUpReadsMax: 2, // with read-ahead below libuv's 4 threads: a tail never waits for one
  localReadAheadReadsMax: 1,
  hedgedReadsShareMax: 0.05, // of the reads of a remote store
  hedgedReadsBurstMax: 8,
  hedgeSamplesMax: 512, // reads of one size that their p99 is of
  hedgeSamplesMin: 64,
  blockMemoryIdleBytesMax: 32 * MiB, // of evicted blocks, for the next reads
  smallBlockMemoryIdleBytesMax: 8 * MiB, // the same, of blocks that are too small for a part of a slab
  blockSlabBytes: 32 * MiB, // blocks are parts of it: at least coalescedReadBytesMax
  listOffsetsReadsInFlightMax: 4, // each may decompress a batch
  fetchSessionsMax: 1_000, // max.incremental.fetch.session.cache.slots
  fetchSessionPartitionsMax: 200_000, // over all sessions, about 40 MB; Kafka has no bound
  fetchSessionEvictionMs: 2 * 60_000, // MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS
  ownedBlockBytes: 8 * MiB, // of a segment: one fetch node loads the extents that begin in them
  ownedExtentBytesMax: 16 * MiB, // larger ones are loaded by whoever wants them
  ownerReadTimeoutMs: 2_000,
  ownerPauseMs: 5_000, // how long an owner that failed is not asked
  ownerReadBytesInFlightMax: 64 * MiB, // asked of other fetch nodes
  peerReadBytesInFlightMax: 64 * MiB, // being loaded for other fetch nodes
  borrowedBlocksBytesMax: 32 * MiB, // kept of what others own, beside the block cache
  verifyBytesPerTurnMax: MiB, // of the event loop, or one extent: 0.2 ms
  sharedReadersMax: 1_024, // partitions read sequentially whose reads of a remote store are shared
  sharedReadBytesPerReaderMax: 16 * MiB, // how far ahead of each of them
  sharedReadExtentsMax: 65_536, // over all of them

  // Segment compaction
  compactionBytesMax: 64 * MiB, // of one merged segment
  compactionBytesMin: 32 * MiB, // fresh segments are merged when this, or one of the next two, waits
  compactionRowsMin: 8_192,
  compactionSegmentsMin: 256,
  compactionRowsMax: 50_000,
  compactionSegmentsMax: 2_000,
  compactionRunsMax: 10_000, // below segmentExtentsMax
  compactionPartitionsMax: 1_000, // that one plan looks at
  compactionGraceMs: 2 * 60_000, // the tail stays where ingest and fetch nodes have it in memory
  compactionIntervalMs: 5_000,
  compactionBackoffMsMin: 1_000,
  compactionBackoffMsMax: 60_000,
  compactionReadsInFlightMax: 16,
  compactionReadBytesMax: 4 * MiB,
  compactionJobsInFlightMax: 2,
  compactionThreadIdleMs: 30_000,
  compactionBadSegmentsMax: 1_000,
  compactionBadSegmentRetryMs: 10 * 60_000,
  batchIndexPartBytes: MiB, // what readers of a merged extent load at once

  // Object store
  storeAttemptsMax: 5,
  storeBackoffMsMin: 50,
  storeBackoffMsMax: 2_000,
  storeRequestTimeoutMs: 30_000,
  storeOperationTimeoutMs: 60_000, // all attempts of one operation together
  storeConnectTimeoutMs: 5_000,
  storeConnectionsMax: 64,
  storeRetryBurstMax: 20,
  storeRetryShareMax: 0.1, // retries per request, once the burst is used up
  storeDeleteKeysPerRequestMax: 1_000, // DeleteObjects
  storeObjectKeyBytesMax: 1_024, // S3
  storeOpenDirectoriesMax: 512,
  storeOpenFilesMax: 256,
  storeTempFileAgeMs: 15 * 60_000,
  storeDirectWriteBytes: 4 * MiB, // per thread that writes past the page cache
  storeWholeObjectBytesMin: 256 * KiB, // S3: a read of so much from byte 0 on is of the footer as well
  storeFooterBytesRead: 8 * KiB, // up to so much: about 130 extents

  // Metadata store
  metadataSessionsMax: 10,
  metadataWaitersMax: 10_000,
  metadataConnectTimeoutMs: 5_000,
  metadataStatementTimeoutMs: 20_000,
  metadataLockTimeoutMs: 10_000,
  metadataIdleInTransactionTimeoutMs: 15_000,
  metadataPurgeRowsMax: 10_000,

  // Between processes
  rpcMessageBytesMax: 128 * MiB,
  rpcBytesBufferedMax: 64 * MiB,
  rpcHeartbeatMs: 2_000,
  rpcHeartbeatMissesMax: 3,
  rpcServerSilenceMsMax: 30_000, // longer: a server can not see half of a large message arrive
  rpcHandshakeMsMax: 5_000,
  rpcHandshakesPendingMax: 256,
  rpcSocketBufferedBytesMax: 4 * MiB, // in a socket; what waits behind it is not copied yet
  rpcBytesUnansweredMax: 256 * MiB, // payloads of one link's calls, from sent to answered
  rpcCallsInFlightMax: 16_384,
  rpcCallsWaitingMax: 16_384,
  rpcStreamsPerLinkMax: 64,
  rpcReconnectBackoffMsMin: 50,
  rpcReconnectBackoffMsMax: 2_000,
  rpcReconnectWaitMsMax: 5_000, // how long a call waits for a link that is down
  rpcShortCallMsMax: 10_000, // registry, lookups, read index
  httpBodyBytesMax: 1 * MiB,
  feedBarrierMsMax: 10_000,
  nodeHeartbeatMs: 3_000, // with the lease: less than a query per second of an idle process
  nodeDeadAfterMs: 10_000,
  leaseDurationMs: 10_000,
  leaseRenewMs: 3_000,
  leaseRetryMs: 500,
  producerIdsPerTransactionMax: 1_000,
  purgePauseMs: 100,
  shardTasksQueuedMax: 10_000,
  purgeRetryMs: 30_000, // after something of a deleted topic could not be removed

  // Groups (defaults of Apache Kafka)
  groupSessionTimeoutMsMin: 6_000,
  groupSessionTimeoutMsMax: 30 * 60_000,
  groupMembersMax: 10_000,
  groupInitialRebalanceDelayMs: 3_000,
  groupNewMemberJoinTimeoutMs: 5 * 60_000, // CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS
  groupProtocolsBytesMax: 16 * MiB, // subscriptions of one group; Kafka: what fits in a record
  groupAssignmentBytesMax: 16 * MiB,
  groupsInMemoryMax: 50_000,
  groupLoadPageMax: 100,
  groupRetryMs: 1_000, // loading groups, or waiting for the lease, again
  groupTimerLateMsMax: 1_000, // later: this process stood still, and its clients did not
  offsetCommitRowsPerTransactionMax: 10_000,
  offsetCommitsWaitingMax: 10_000,

  // Index in the bucket (P7), recovery, fsck
  indexManifestIntervalMs: 10_000, // while there is change
  indexRetryMs: 5_000,
  indexObjectBytesMax: 16 * MiB,
  indexPartBytesMax: MiB, // a new part begins beyond it; encoding one takes 20 ms
  indexPageRowsMax: 2_000,
  indexPagePauseMs: 2, // after each page: clients go first
  indexPartsMax: 100_000, // of one entry
  indexSnapshotBytesMin: MiB, // manifests of fewer bytes do not outweigh any snapshot
  indexManifestsPerSnapshotMax: 1_000,
  indexSnapshotsKept: 2,
  indexTransactionMsMax: 30 * 60_000, // of reading a snapshot, or of a recovery
  indexAnswerAgeMsMax: 10 * 60_000, // beyond commitAgeMsMax and commitTimeoutMs: nobody asks again
  indexSlackMsMax: 120_000, // longer than any commit transaction
  indexFlushMsMax: 10_000, // the last manifest of a process that stops
  indexDirtyRangesMax: 16, // of one partition, beside its end
  indexDirtyGroupsMax: 100_000,
  indexGroupDigestsMax: 200_000,
  recoveredProducerIdsGapMin: 1_000_000_000,
  recoveredIdsGapMin: 1_000_000, // partition ids, node ids, shard epochs, group generations
  checkReadsInFlightMax: 8,
  checkFindingsPerKindMax: 1_000, // listed; beyond it they are counted

  // Retention and garbage collection
  retentionCheckIntervalMs: 60_000, // log.retention.check.interval.ms; Kafka: 5 minutes
  retentionProbePartitionsMax: 1_000, // per query
  retentionStepPartitionsMax: 100, // per transaction
  retentionStepExtentsMin: 4_000, // index rows that one transaction looks at; a row is seen twice
  retentionStepExtentsMax: 50_000,
  producerIdExpirationMs: 7 * 24 * 60 * 60_000, // producer.id.expiration.ms; Kafka: 1 day
  producerExpiryCheckMs: 60 * 60_000,
  producerExpiryRowsMax: 10_000,
  clockSkewMsMax: 5 * 60_000, // between the database, its standbys, the nodes, and the object store
  garbageCheckIntervalMs: 60_000,
  garbageWaitMs: 15 * 60_000, // longer than any fetch, and than a commit may still be repeated
  garbageStepSegmentsMax: 1_000,
  garbageStepPauseMs: 500, // so at most 2,000 objects per second
  orphanGraceMs: 60 * 60_000, // ≥ commitAgeMsMax + commitTimeoutMs + clockSkewMsMax
  orphanSweepIntervalMs: 24 * 60 * 60_000,
  orphanSweepPauseMs: 500, // between the 256 parts of a sweep, and between its thousands of objects
  orphanSweepPartsPerStepMax: 16, // between two writes of how far it has come

  // Cold index ranges
  coldExtentsMin: 1_024, // index rows of a partition that stay in the metadata store
  coldExtentsPerMoveMax: 512, // that leave it together, and come back together
  coldRangeExtentsMax: 8_192, // of a range that was merged of others: about 1 MB, 20 ms to decode
  coldRangesPerMergeMax: 4, // neighbours of one size that become one range
  coldAgeMs: 60 * 60_000, // since the commit; beyond what a stored answer is needed for
  coldUnmergedAgeMs: 24 * 60 * 60_000, // segments that compaction still has to merge
  coldSkippedBatchesMax: 200_000, // of one new range: its object is bounded
  coldCheckIntervalMs: 10 * 60_000,
  coldPartitionsPerPassMax: 1_000,
  coldPlannedMsMax: 60 * 60_000, // an object that was announced and never referred to is garbage
  coldCachedExtentsMax: 65_536, // decoded, over all ranges; about 20 MB
  coldGarbageStepMax: 100,
  checkColdExtentsMax: 50_000, // that fsck holds at once; about 20 MB

  // Shutdown
  drainMsMax: 30_000,
  shutdownMsMax: 60_000,
} as const;
