import { invariant, isOperatingError, limits, OperatingError } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { ClusterView, CoordinatorService } from '@kafscale/cluster';
import type { MetadataStore } from '@kafscale/metadata';
import type { ObjectStore } from '@kafscale/storage';
import { BackgroundWork } from './background/background-work.js';
import type { BackgroundOptions } from './background/background-work.js';
import { ColdIndex } from './cold/cold-index.js';
import type { ColdIndexOptions } from './cold/cold-index.js';
import { brokersOf } from './cluster/leader-choice.js';
import type { Broker } from './cluster/leader-choice.js';
import type { Compactor } from './compaction/compactor.js';
import { startCompaction } from './compaction/start-compaction.js';
import type { CompactionOptions } from './compaction/start-compaction.js';
import { ProducerIds } from './cluster/producer-ids.js';
import { GroupManager } from './groups/group-manager.js';
import { locateAmong } from './groups/handlers/10-find-coordinator.js';
import { groupApis } from './groups/handlers/group-apis.js';
import { metadataApi } from './handlers/03-metadata.js';
import { createTopicsApi } from './handlers/19-create-topics.js';
import { deleteTopicsApi } from './handlers/20-delete-topics.js';
import { deleteRecordsApi } from './handlers/21-delete-records.js';
import { initProducerIdApi } from './handlers/22-init-producer-id.js';
import { describeConfigsApi } from './handlers/32-describe-configs.js';
import { alterConfigsApi } from './handlers/33-alter-configs.js';
import { incrementalAlterConfigsApi } from './handlers/44-incremental-alter-configs.js';
import { describeClusterApi } from './handlers/60-describe-cluster.js';
import { dispatch } from './handlers/kafka-api.js';
import type { KafkaApi } from './handlers/kafka-api.js';
import type { CoordinatorLog, CoordinatorMetrics } from './observability.js';
import type { IndexMetrics } from './recovery/index-metrics.js';
import { IndexWriter } from './recovery/index-writer.js';
import { LeaseKeeper } from './shard/lease-keeper.js';
import { ShardOwner } from './shard/shard-owner.js';
import { brokerConfigsOf } from './topics/broker-configs.js';
import { TopicPurge } from './topics/purge.js';

export interface CoordinatorOptions {
  readonly store: MetadataStore;
  /** Who owns the shard: see LeaseKeeper. */
  readonly instanceId: string;
  readonly autoCreateTopics: boolean;
  readonly partitionsDefault: number;
  /** group.initial.rebalance.delay.ms */
  readonly groupInitialRebalanceDelayMs: number;
  /** message.max.bytes, the default of topics */
  readonly messageBytesMax: number;
  readonly clock: Clock;
  readonly log: CoordinatorLog;
  readonly metrics: CoordinatorMetrics;
  /** Retention and garbage collection; absent: nothing ever goes. */
  readonly background?: BackgroundOptions;
  /** Absent: segments stay as they were written. */
  readonly compaction?: CompactionOptions;
  /** The index in the bucket (P7); absent: the bucket alone is not enough. */
  readonly index?: IndexOptions;
}

export interface IndexOptions {
  readonly objectStore: ObjectStore;
  /** Between manifests, while there is change. */
  readonly intervalMs: number;
  readonly softwareVersion: string;
  readonly metrics: IndexMetrics;
}

export interface Coordinator extends CoordinatorService {
  /** Makes the first attempt to own the shard. */
  start(): Promise<void>;
  /** Whether it owns the shard and its lease holds: the readiness of the process. */
  ready(): boolean;
  /** Ends long waits: what waits for a group is told to come back elsewhere. */
  beginDrain(): void;
  close(): Promise<void>;
}

/** One shard for now: every table and lease already says which. */
const shardId = 0;

export function createCoordinator(options: CoordinatorOptions): Coordinator {
  return new CoordinatorProcess(options);
}

/** Assembles the coordinator; what it does lives in shard/, topics/, handlers/ and groups/. */
class CoordinatorProcess implements Coordinator {
  readonly #store: MetadataStore;
  readonly #owner: ShardOwner;
  readonly #keeper: LeaseKeeper;
  readonly #purge: TopicPurge;
  readonly #background: BackgroundWork | null;
  readonly #compactor: Compactor | undefined;
  readonly #index: IndexWriter | null;
  readonly #coldIndex: ColdIndex | null;
  readonly #groups: GroupManager;
  readonly #apis: ReadonlyMap<number, KafkaApi>;
  #view: ClusterView | null = null;

  constructor(options: CoordinatorOptions) {
    const { clock, instanceId, log, metrics, store } = options;
    this.#store = store;
    this.#owner = new ShardOwner({
      store,
      shardId,
      clock,
      log,
      metrics,
      onDoubt: () => this.#keeper.doubt(),
      onOwnership: () => {
        this.#groups.ownershipChanged();
        this.#background?.ownershipChanged();
        this.#compactor?.wake();
        this.#index?.ownershipChanged();
        this.#purge.wake();
      },
      onTopicDeleted: () => this.#purge.wake(),
    });
    const owner = this.#owner;
    this.#keeper = new LeaseKeeper({ store, owner, shardId, instanceId, log, metrics });
    this.#groups = new GroupManager({
      store,
      ownership: owner,
      log,
      clock,
      onLeaseLost: () => this.#keeper.doubt(),
      onGroupWritten: (groupId) => this.#index?.groupChanged(groupId),
      settings: { initialRebalanceDelayMs: options.groupInitialRebalanceDelayMs },
    });
    const unwrittenForMs = (): number => this.#index?.unwrittenForMs ?? 0;
    const parts = { store, owner, clock, log, unwrittenForMs };
    this.#coldIndex = openColdIndex(options, { ...parts, ownership: owner });
    this.#background =
      options.background === undefined || this.#coldIndex === null
        ? null
        : new BackgroundWork({ ...options.background, ...parts, coldIndex: this.#coldIndex });
    this.#purge = new TopicPurge({
      store,
      lease: () => this.#owner.lease,
      log,
      onPurged: () => this.#background?.topicPurged(),
      thaw: (partitionId) => this.#coldIndex?.thaw(partitionId) ?? Promise.resolve(false),
    });
    const { compaction } = options;
    this.#compactor =
      compaction && startCompaction(compaction, { store, ownership: owner, clock, log });
    this.#index = options.index === undefined ? null : this.#indexWriter(options, options.index);
    this.#apis = this.#assembleApis(options);
  }

  async start(): Promise<void> {
    await this.#keeper.start();
    this.#background?.start();
  }

  ready(): boolean {
    return this.#owner.holds();
  }

  beginDrain(): void {
    this.#groups.close();
  }

  async close(): Promise<void> {
    this.#groups.close();
    await this.#compactor?.close();
    await this.#background?.close();
    await this.#purge.close();
    // While the shard is still owned: the last manifest says all that was acknowledged.
    await this.#index?.close();
    await this.#keeper.close();
  }

  handle: CoordinatorService['handle'] = (request, signal) => dispatch(this.#apis, request, signal);

  register: CoordinatorService['register'] = async (registration) => {
    const grant = await this.#store.registerNode(registration);
    this.#view = grant;
    return grant;
  };

  heartbeat: CoordinatorService['heartbeat'] = async (nodeId, nodeInstanceId) => {
    const view = await this.#store.heartbeatNode(nodeId, nodeInstanceId);
    this.#view = view;
    return view;
  };

  async deregister(nodeId: number, nodeInstanceId: string): Promise<void> {
    await this.#store.deregisterNode(nodeId, nodeInstanceId);
    this.#view = await this.#store.clusterView();
  }

  commitSegments: CoordinatorService['commitSegments'] = (segments) => {
    this.#compactor?.wake();
    return this.#owner.commit(segments);
  };

  feedPosition: CoordinatorService['feedPosition'] = async () => this.#owner.feedPosition();

  subscribe: CoordinatorService['subscribe'] = (options, listener) => {
    try {
      return this.#owner.subscribe(options, listener);
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      queueMicrotask(() => listener.onClosed(error.message));
      return { close: () => undefined };
    }
  };

  findExtents: CoordinatorService['findExtents'] = (partitionId, offset, countMax) =>
    this.#lookups.findExtents(partitionId, offset, Math.min(countMax, limits.extentsPerLookupMax));

  findExtentByTimestamp: CoordinatorService['findExtentByTimestamp'] = (partitionId, timestampMs) =>
    this.#lookups.findExtentByTimestamp(partitionId, timestampMs);

  findExtentOfMaxTimestamp: CoordinatorService['findExtentOfMaxTimestamp'] = (partitionId) =>
    this.#lookups.findExtentOfMaxTimestamp(partitionId);

  /** Without an object store there are rows only. */
  get #lookups(): Pick<
    MetadataStore,
    'findExtents' | 'findExtentByTimestamp' | 'findExtentOfMaxTimestamp'
  > {
    return this.#coldIndex?.lookups ?? this.#store;
  }

  #indexWriter({ clock, log, store }: CoordinatorOptions, index: IndexOptions): IndexWriter {
    const { objectStore: objects, ...settings } = index;
    return new IndexWriter({
      ...settings,
      store,
      objects,
      shard: this.#owner,
      shardId,
      clock,
      log,
    });
  }

  #assembleApis(options: CoordinatorOptions): ReadonlyMap<number, KafkaApi> {
    const { autoCreateTopics, partitionsDefault } = options;
    const brokerConfigs = brokerConfigsOf(options);
    const topics = this.#owner;
    const brokers = (): Broker[] => brokersOf(this.#view?.nodes ?? []);
    const clusterId = (): string => {
      if (this.#view !== null) return this.#view.clusterId;
      throw new OperatingError('CLUSTER_UNKNOWN', 'no node has registered yet', {
        retriable: true,
      });
    };
    const producerIds = new ProducerIds((count) => this.#store.allocateProducerIds(count));
    const onAltered = (): void => this.#background?.topicAltered();
    const apis = [
      metadataApi({ topics, brokers, clusterId, autoCreateTopics, partitionsDefault }),
      createTopicsApi({ topics, partitionsDefault }),
      deleteTopicsApi(topics),
      deleteRecordsApi({
        topics,
        onDeleted: (partitionIds) => this.#background?.recordsDeleted(partitionIds),
      }),
      initProducerIdApi(() => producerIds.next()),
      describeConfigsApi({ topics, brokers, brokerConfigs }),
      alterConfigsApi({ topics, brokers, onAltered }),
      incrementalAlterConfigsApi({ topics, brokers, onAltered }),
      describeClusterApi(brokers, clusterId),
      ...groupApis({
        manager: this.#groups,
        topics,
        locateCoordinator: locateAmong(brokers),
      }),
    ];
    const table = new Map(apis.map((api) => [api.apiKey, api]));
    invariant(table.size === apis.length, 'one handler per API');
    return table;
  }
}

/** null: the coordinator was given no store of objects. */
function openColdIndex(
  { background, index }: CoordinatorOptions,
  parts: Omit<ColdIndexOptions, 'objectStore'>,
): ColdIndex | null {
  const objectStore = background?.objectStore ?? index?.objectStore;
  if (objectStore === undefined) return null;
  const metrics = background?.metrics.cold;
  const limitsOfTests = background?.times?.cold;
  return new ColdIndex({
    ...parts,
    objectStore,
    ...(metrics && { metrics }),
    ...(limitsOfTests && { limits: limitsOfTests }),
  });
}
