import { randomUUID } from 'node:crypto';
import { apis } from '@kafscale/codec';
import { ClusterMembership, FeedReplica } from '@kafscale/cluster';
import type { CoordinatorService } from '@kafscale/cluster';
import {
  createCoordinator,
  registerBackgroundMetrics,
  registerCompactionMetrics,
  registerIndexMetrics,
} from '@kafscale/coordinator';
import type {
  BackgroundOptions,
  BackgroundTimes,
  CompactionLimits,
  CompactionOptions,
  Coordinator,
  IndexOptions,
} from '@kafscale/coordinator';
import { limits, sleep, systemClock } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import { createFetchService } from '@kafscale/fetch';
import { createIngestService } from '@kafscale/ingest';
import type { Ingest, IngestGauges, IngestMetrics } from '@kafscale/ingest';
import { openMetadataStore } from '@kafscale/metadata';
import type { MetadataStore, MetadataStoreOptions } from '@kafscale/metadata';
import { openObjectStore } from '@kafscale/storage';
import type { ObjectStoreOptions } from '@kafscale/storage';
import { Metrics } from '@kafscale/telemetry';
import postgres from 'postgres';
import { cleanup } from './cleanup.js';
import { CommitLink } from './commit-link.js';
import { FeedLink } from './feed-link.js';
import { KafkaConnection, readLog } from './kafka-calls.js';
import { StoreFolder } from './store-folder.js';
import type { StorePath } from './store-folder.js';

export const silentLog = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const noRpcLog = (): void => {};

/** The system's clock, which a test can put forward. */
export class ShiftedClock implements Clock {
  shiftMs = 0;

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.shiftMs;
  }

  wallMs(): number {
    return systemClock.wallMs();
  }
}

/** Where objects are. */
export interface ObjectPlace {
  readonly url: string;
  readonly options: ObjectStoreOptions;
}

export interface ClusterParts {
  /** Instead of a folder. */
  readonly objects?: ObjectPlace;
  /** Absent: segments stay as they were written. */
  readonly compaction?: Partial<CompactionLimits>;
  /** Absent: there is no index in the bucket. */
  readonly indexIntervalMs?: number;
}

/**
 * Real parts in one process: coordinator over PostgreSQL, ingest nodes and readers over files, or over
 * an S3 server.
 */
export class Cluster {
  readonly folder = new StoreFolder();
  readonly slot = new CoordinatorSlot();
  readonly databaseUrl: string;
  readonly #storeOptions: Partial<MetadataStoreOptions>;
  /** Of retention and garbage collection; null: there is none. */
  readonly #backgroundTimes: BackgroundTimes | null;
  #parts: ClusterParts;
  /** As in standalone: the lease stays with the data, so that a restart owns the shard at once. */
  readonly #instanceId = randomUUID();
  #store: MetadataStore | null = null;
  #admin: postgres.Sql | null = null;

  private constructor(
    databaseUrl: string,
    storeOptions: Partial<MetadataStoreOptions>,
    backgroundTimes: BackgroundTimes | null,
    parts: ClusterParts,
  ) {
    this.databaseUrl = databaseUrl;
    this.#storeOptions = storeOptions;
    this.#backgroundTimes = backgroundTimes;
    this.#parts = parts;
  }

  /** `storeOptions.url` may lead to the database through a proxy. */
  static async start(
    databaseUrl: string,
    storeOptions: Partial<MetadataStoreOptions> = {},
    backgroundTimes: BackgroundTimes | null = null,
    parts: ClusterParts = {},
  ): Promise<Cluster> {
    const cluster = new Cluster(databaseUrl, storeOptions, backgroundTimes, parts);
    cleanup(() => cluster.folder.remove());
    cleanup(() => cluster.#stopCoordinator());
    cleanup(() => cluster.#admin?.end({ timeout: 1 }));
    await cluster.#startCoordinator();
    return cluster;
  }

  get store(): MetadataStore {
    return this.#store!;
  }

  get objects(): ObjectPlace {
    return this.#parts.objects ?? { url: this.folder.url, options: {} };
  }

  /** `between` runs while there is none: no background pass locks or writes what it changes. */
  async restartCoordinator(between?: () => Promise<unknown>): Promise<void> {
    await this.#stopCoordinator();
    await between?.();
    await this.#startCoordinator();
  }

  /** All segments become so old that no commit can be repeated: their answers and objects may go. */
  async ageSegments(): Promise<void> {
    const bornMs = Date.now() - 1_800_000;
    // Waits for no lock, or what others write meanwhile could find itself in a deadlock: what a
    // background pass has locked is aged in another round.
    for (;;) {
      await this.query(`
        WITH free AS (
          SELECT segment_id FROM segments WHERE birth_ms > ${bornMs} ORDER BY 1 FOR UPDATE SKIP LOCKED)
        UPDATE segments s SET birth_ms = birth_ms - 3600000 FROM free
        WHERE s.segment_id = free.segment_id`);
      const young = await this.query(`SELECT FROM segments WHERE birth_ms > ${bornMs} LIMIT 1`);
      if (young.length === 0) return;
      await sleep(10);
    }
  }

  /** Merges segments from now on. */
  async startCompaction(compaction: Partial<CompactionLimits>): Promise<void> {
    this.#parts = { ...this.#parts, compaction };
    await this.restartCoordinator();
  }

  /** SQL as an outsider would run it. */
  async query(text: string): Promise<postgres.RowList<postgres.Row[]>> {
    this.#admin ??= postgres(this.databaseUrl, { max: 1, fetch_types: false });
    return this.#admin.unsafe(text);
  }

  async createTopic(name: string, numPartitions = 1): Promise<void> {
    const topics = [{ name, numPartitions, replicationFactor: 1 }];
    const answer = await this.connection().call(apis.createTopics, { topics });
    if (answer.topics[0]?.errorCode !== 0) throw new Error(JSON.stringify(answer));
  }

  async deleteTopic(name: string): Promise<void> {
    const answer = await this.connection().call(apis.deleteTopics, { topics: [{ name }] });
    if (answer.responses[0]?.errorCode !== 0) throw new Error(JSON.stringify(answer));
  }

  async alterTopic(name: string, configs: Readonly<Record<string, string>>): Promise<void> {
    const answer = await this.connection().call(apis.incrementalAlterConfigs, {
      resources: [
        {
          resourceType: 2,
          resourceName: name,
          configs: Object.entries(configs).map(([config, value]) => ({
            name: config,
            configOperation: 0,
            value,
          })),
        },
      ],
    });
    if (answer.responses[0]?.errorCode !== 0) throw new Error(JSON.stringify(answer));
  }

  async newProducerId(): Promise<number> {
    const answer = await this.connection().call(apis.initProducerId, { transactionalId: null });
    return Number(answer.producerId);
  }

  /** To the coordinator. */
  connection(): KafkaConnection {
    return new KafkaConnection(this.slot);
  }

  async addIngest(options: IngestNodeOptions = {}): Promise<IngestNode> {
    const node = new IngestNode(this, options);
    cleanup(() => node.close());
    await node.start();
    return node;
  }

  async addReader(options: ReaderOptions = {}): Promise<Reader> {
    const reader = new Reader(this, options);
    cleanup(() => reader.close());
    await reader.start();
    return reader;
  }

  async #startCoordinator(): Promise<void> {
    this.#store = await openMetadataStore({ url: this.databaseUrl, ...this.#storeOptions });
    const coordinator = createCoordinator({
      store: this.#store,
      instanceId: this.#instanceId,
      autoCreateTopics: false,
      partitionsDefault: 1,
      groupInitialRebalanceDelayMs: 0,
      messageBytesMax: limits.messageBytesMax,
      clock: systemClock,
      log: silentLog,
      metrics: { commitTransaction: () => {}, leaseHeld: () => {} },
      ...(this.#backgroundTimes !== null && {
        background: this.#background(this.#backgroundTimes),
      }),
      ...(this.#parts.compaction !== undefined && {
        compaction: this.#compaction(this.#parts.compaction),
      }),
      ...(this.#parts.indexIntervalMs !== undefined && {
        index: this.#index(this.#parts.indexIntervalMs),
      }),
    });
    this.slot.current = coordinator;
    await coordinator.start();
  }

  #background(times: BackgroundTimes): BackgroundOptions {
    const metrics = registerBackgroundMetrics(new Metrics({ processMetrics: false }));
    const { options, url } = this.objects;
    return { objectStore: openObjectStore(url, options), metrics, times };
  }

  #compaction(limitsOfTest: Partial<CompactionLimits>): CompactionOptions {
    const metrics = registerCompactionMetrics(new Metrics({ processMetrics: false }));
    const { options: storeOptions, url: storeUrl } = this.objects;
    return { storeUrl, storeOptions, softwareVersion: 'test', metrics, limits: limitsOfTest };
  }

  #index(intervalMs: number): IndexOptions {
    const { options, url } = this.objects;
    const metrics = registerIndexMetrics(new Metrics({ processMetrics: false }));
    return {
      objectStore: openObjectStore(url, options),
      intervalMs,
      softwareVersion: 'test',
      metrics,
    };
  }

  async #stopCoordinator(): Promise<void> {
    await this.slot.current?.close();
    await this.#store?.close();
  }
}

/** Where the coordinator is, for those who outlive it. */
class CoordinatorSlot implements CoordinatorService {
  current: Coordinator | null = null;

  /** The same coordinator, with commits on a way of their own. */
  through(commits: Pick<CoordinatorService, 'commitSegments'>): CoordinatorService {
    const slot = new CoordinatorSlot();
    slot.current = this.current;
    slot.commitSegments = (segments) => commits.commitSegments(segments);
    return slot;
  }

  get #now(): Coordinator {
    return this.current!;
  }

  handle: CoordinatorService['handle'] = (request, signal) => this.#now.handle(request, signal);
  register: CoordinatorService['register'] = (registration) => this.#now.register(registration);
  heartbeat: CoordinatorService['heartbeat'] = (nodeId, instanceId) =>
    this.#now.heartbeat(nodeId, instanceId);
  deregister: CoordinatorService['deregister'] = (nodeId, instanceId) =>
    this.#now.deregister(nodeId, instanceId);
  commitSegments: CoordinatorService['commitSegments'] = (segments) =>
    this.#now.commitSegments(segments);
  feedPosition: CoordinatorService['feedPosition'] = () => this.#now.feedPosition();
  subscribe: CoordinatorService['subscribe'] = (options, listener) =>
    this.#now.subscribe(options, listener);
  findExtents: CoordinatorService['findExtents'] = (partitionId, offset, countMax) =>
    this.#now.findExtents(partitionId, offset, countMax);
  findExtentByTimestamp: CoordinatorService['findExtentByTimestamp'] = (partitionId, timestampMs) =>
    this.#now.findExtentByTimestamp(partitionId, timestampMs);
  findExtentOfMaxTimestamp: CoordinatorService['findExtentOfMaxTimestamp'] = (partitionId) =>
    this.#now.findExtentOfMaxTimestamp(partitionId);
}

interface Gate {
  readonly promise: Promise<void>;
  open(): void;
}

const openGate: Gate = { promise: Promise.resolve(), open: () => {} };

function newGate(): Gate {
  let open = (): void => {};
  const promise = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { promise, open: () => open() };
}

export interface IngestNodeOptions {
  /** By itself not 0: then small segments would not overlap. */
  readonly flushIntervalMs?: number;
  readonly flushInFlightMax?: number;
  readonly heartbeatMs?: number;
  readonly bytesInFlightMax?: number;
  /** Another way to the objects than the cluster's; then `storePath` has no say. */
  readonly objects?: ObjectPlace;
}

/** An ingest service with what a process has around it. */
export class IngestNode {
  readonly commits: CommitLink;
  readonly storePath: StorePath;
  readonly clock = new ShiftedClock();
  readonly membership: ClusterMembership;
  readonly ingest: Ingest;
  /** Segments are opened as if it were so much earlier: they are that much older at their commit. */
  bornEarlierMs = 0;
  sealed = 0;
  uploaded = 0;
  uploadsFailed = 0;
  /** The limit of uploads after each refusal of a store that throttles. */
  readonly throttledTo: number[] = [];
  #gauges: IngestGauges | null = null;
  readonly #replica: FeedReplica;
  readonly #fenced: number[] = [];
  #heartbeatGate: Gate = openGate;
  #closed = false;

  constructor(cluster: Cluster, options: IngestNodeOptions) {
    const { folder, objects, slot } = cluster;
    this.commits = new CommitLink(slot);
    this.storePath = folder.newPath();
    const place = options.objects ?? (objects.url === folder.url ? null : objects);
    this.#replica = new FeedReplica({
      coordinator: slot,
      commits: false,
      clock: systemClock,
      log: noRpcLog,
    });
    this.membership = new ClusterMembership({
      coordinator: {
        register: (registration) => slot.register(registration),
        deregister: (nodeId, instanceId) => slot.deregister(nodeId, instanceId),
        heartbeat: async (nodeId, instanceId) => {
          await this.#heartbeatGate.promise;
          return slot.heartbeat(nodeId, instanceId);
        },
      },
      registration: { roles: ['ingest'], zone: 'a', internalUrl: '', advertised: null },
      clock: this.clock,
      log: noRpcLog,
      ...(options.heartbeatMs !== undefined && { heartbeatMs: options.heartbeatMs }),
    });
    this.membership.onFenced((nodeId) => this.#fenced.push(nodeId));
    this.ingest = createIngestService({
      coordinator: this.commits,
      topics: {
        topicByName: (name) => this.#replica.topicByName(name),
        barrier: () => this.#replica.barrier(),
      },
      writer: () => ({
        nodeId: this.membership.nodeId,
        incarnation: this.membership.view.incarnation,
      }),
      databaseNowMs: () => this.membership.databaseNowMs() - this.bornEarlierMs,
      storeUrl: place?.url ?? this.storePath.url,
      storeOptions: place?.options ?? {},
      flushIntervalMs: options.flushIntervalMs ?? 2,
      flushInFlightMax: options.flushInFlightMax ?? 64,
      segmentBytes: limits.segmentBytes,
      bytesInFlightMax: options.bytesInFlightMax ?? limits.ingestBytesInFlightMax,
      recentBytesMax: limits.recentSegmentsBytesMax,
      sealThreads: 1,
      softwareVersion: 'test',
      clock: this.clock,
      log: silentLog,
      metrics: this.#metrics(),
    });
  }

  async start(): Promise<void> {
    this.#replica.start();
    await this.#replica.ready();
    await this.membership.start();
  }

  /** A client's connection to this node. */
  connect(): KafkaConnection {
    return new KafkaConnection(this.ingest);
  }

  /** As a process that stands still: what it knows of time and of its id stays as it is. */
  stopHeartbeats(): void {
    this.#heartbeatGate = newGate();
  }

  resumeHeartbeats(): void {
    this.#heartbeatGate.open();
    this.#heartbeatGate = openGate;
  }

  /** Node ids under which it was declared dead. */
  get fencedNodeIds(): readonly number[] {
    return this.#fenced;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.storePath.heal();
    this.commits.release();
    this.resumeHeartbeats();
    await this.ingest.close();
    this.#replica.close();
    await this.membership.close();
  }

  #metrics(): IngestMetrics {
    return {
      produceAdmitted: () => {},
      produceRefused: () => {},
      segmentSealed: () => {
        this.sealed += 1;
      },
      segmentUploaded: () => {
        this.uploaded += 1;
      },
      uploadFailed: () => {
        this.uploadsFailed += 1;
      },
      segmentsCommitted: () => {},
      segmentSettled: () => {},
      produceWaited: () => {},
      uploadThrottled: () => {
        this.throttledTo.push(this.#gauges?.uploadsLimit() ?? 0);
      },
      watch: (gauges) => {
        this.#gauges = gauges;
      },
    };
  }
}

export interface ReaderOptions {
  readonly barrierMsMax?: number;
  /** Another way to the coordinator than directly. */
  readonly coordinator?: CoordinatorService;
}

/** A fetch service with its replica, behind a feed that can be held up. */
export class Reader {
  readonly feed: FeedLink;
  readonly replica: FeedReplica;
  readonly connection: KafkaConnection;
  readonly #close: () => Promise<void>;

  constructor(cluster: Cluster, options: ReaderOptions) {
    const coordinator = options.coordinator ?? cluster.slot;
    this.feed = new FeedLink(coordinator);
    this.replica = new FeedReplica({
      coordinator: {
        subscribe: (feedOptions, listener) => this.feed.subscribe(feedOptions, listener),
        feedPosition: () => coordinator.feedPosition(),
      },
      commits: true,
      clock: systemClock,
      log: noRpcLog,
      backoffMsMin: 5,
      ...(options.barrierMsMax !== undefined && { barrierMsMax: options.barrierMsMax }),
    });
    const store = openObjectStore(cluster.objects.url, cluster.objects.options);
    const fetch = createFetchService({
      replica: this.replica,
      coordinator,
      store,
      recentSegments: () => undefined,
      log: silentLog,
      metrics: { count: () => {}, observe: () => {}, gauge: () => {} },
    });
    this.connection = new KafkaConnection(fetch);
    this.#close = async () => {
      fetch.close();
      this.replica.close();
      await store.close();
    };
  }

  async start(): Promise<void> {
    this.replica.start();
    await this.replica.ready();
  }

  /** The texts of a log's records, after checking that its offsets are dense (P6). */
  async texts(topic: string, partition = 0): Promise<string[]> {
    const { highWatermark, records } = await readLog(this.connection, topic, partition);
    const offsets = records.map(({ offset }) => offset);
    const dense = Array.from({ length: highWatermark }, (_, offset) => offset);
    if (offsets.join() !== dense.join()) throw new Error(`holes (P6): ${offsets.join()}`);
    return records.map(({ text }) => text);
  }

  close(): Promise<void> {
    return this.#close();
  }
}
