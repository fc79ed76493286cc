import { randomUUID } from 'node:crypto';
import {
  ClusterMembership,
  connectCoordinator,
  type CoordinatorService,
  type RemoteService,
  type SegmentAnswer,
  type SegmentCommit,
} from '@kafscale/cluster';
import { invariant, systemClock } from '@kafscale/core';
import { createTopicOf, highWatermarksOf } from './coordinator-topic.js';
import { latencyFigures, type LatencyFigures } from './latency-figures.js';
import type { LoadResult } from './produce-load.js';

export interface CommitLoad {
  /** Of the coordinator's internal listener. */
  readonly url: string;
  readonly secret: string;
  readonly topic: string;
  readonly partitions: number;
  /** In each segment. */
  readonly batchesPerPartition: number;
  /** The batches of a partition are theirs in turn, so each partition has as many producers. */
  readonly producersPerPartition: number;
  /** Ingest nodes, each with its own link and producers, that commit one segment after another. */
  readonly committers: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

export interface CommitResult extends LoadResult {
  readonly segments: number;
  /** From a call to its answer, over a link on loopback. */
  readonly latency: LatencyFigures;
  /** Of all segments, warm-up too. */
  readonly segmentsInAll: number;
}

const recordsPerBatch = 16;
const batchBytes = 16 * 1024;

/**
 * What ingest nodes ask of the coordinator, without ingest nodes: segments that nobody has uploaded.
 * Fails unless every batch is accepted, the log ends say so too, and a repeated commit is answered
 * as the first time.
 */
export async function runCommitLoad(load: CommitLoad): Promise<CommitResult> {
  const links = Array.from({ length: load.committers }, () => connect(load));
  const [first] = links;
  invariant(first !== undefined, 'there is a committer');
  const partitionIds = await createTopicOf(first, load);
  const memberships = await Promise.all(links.map((link) => join(link)));
  const committers = links.map((link, index) => {
    const membership = memberships[index];
    invariant(membership !== undefined, 'every link has a membership');
    return new Committer({ link, membership, load, partitionIds, index });
  });
  const startMs = systemClock.monotonicMs();
  const beginMs = startMs + load.warmUpSeconds * 1000;
  const endMs = beginMs + load.seconds * 1000;
  await Promise.all(committers.map((committer) => committer.run({ beginMs, endMs })));
  const latenciesMs = committers.flatMap((committer) => committer.latenciesMs);
  await Promise.all(committers.map((committer) => committer.repeatLast()));
  const segmentsInAll = committers.reduce((sum, each) => sum + each.segmentsInAll, 0);
  const recordsPerSegment = load.partitions * load.batchesPerPartition * recordsPerBatch;
  await verify(first, partitionIds, segmentsInAll * recordsPerSegment);
  for (const membership of memberships) await membership.close();
  for (const link of links) link.close();
  return {
    records: latenciesMs.length * recordsPerSegment,
    bytes: latenciesMs.length * load.partitions * load.batchesPerPartition * batchBytes,
    seconds: load.seconds,
    segments: latenciesMs.length,
    segmentsInAll,
    latency: latencyFigures(Float64Array.from(latenciesMs)),
  };
}

type Link = CoordinatorService & RemoteService;

function connect({ secret, url }: CommitLoad): Link {
  return connectCoordinator({
    url,
    secret,
    caller: () => ({ nodeId: -1, role: 'ingest' }),
    log: () => undefined,
  });
}

async function join(coordinator: Link): Promise<ClusterMembership> {
  const membership = new ClusterMembership({
    coordinator,
    registration: { roles: ['ingest'], zone: 'a', internalUrl: '', advertised: null },
    clock: systemClock,
    log: () => undefined,
  });
  await membership.start();
  return membership;
}

async function verify(link: Link, partitionIds: readonly number[], records: number): Promise<void> {
  const heads = await highWatermarksOf(link);
  const stored = partitionIds.reduce((sum, id) => sum + (heads.get(id) ?? 0), 0);
  invariant(stored === records, `${records} records were committed and the logs have ${stored}`);
}

interface CommitterOptions {
  readonly link: Link;
  readonly membership: ClusterMembership;
  readonly load: CommitLoad;
  readonly partitionIds: readonly number[];
  readonly index: number;
}

const firstProducerId = 1_000_000;

class Committer {
  readonly latenciesMs: number[] = [];
  segmentsInAll = 0;
  readonly #options: CommitterOptions;
  readonly #producerIds: readonly number[];
  #last: { readonly segment: SegmentCommit; readonly answer: SegmentAnswer } | undefined;

  constructor(options: CommitterOptions) {
    this.#options = options;
    const { index, load } = options;
    this.#producerIds = Array.from(
      { length: load.producersPerPartition },
      (_, producer) => firstProducerId + index * load.producersPerPartition + producer,
    );
  }

  async run({ beginMs, endMs }: { readonly beginMs: number; readonly endMs: number }) {
    const { link } = this.#options;
    for (;;) {
      const segment = this.#nextSegment();
      const startMs = systemClock.monotonicMs();
      const [answer] = await link.commitSegments([segment]);
      const nowMs = systemClock.monotonicMs();
      invariant(answer !== undefined && isAccepted(answer), 'every batch is accepted');
      this.#last = { segment, answer };
      this.segmentsInAll += 1;
      if (startMs >= beginMs && nowMs <= endMs) this.latenciesMs.push(nowMs - startMs);
      if (nowMs >= endMs) return;
    }
  }

  /** The stored answer of a segment is that of its first commit. */
  async repeatLast(): Promise<void> {
    invariant(this.#last !== undefined, 'something was committed');
    const { answer, segment } = this.#last;
    const [again] = await this.#options.link.commitSegments([segment]);
    const isSame = JSON.stringify(again) === JSON.stringify(answer);
    invariant(isSame, 'a repeated commit is answered as the first one');
  }

  #nextSegment(): SegmentCommit {
    const { load, membership, partitionIds } = this.#options;
    const extentBytes = load.batchesPerPartition * batchBytes;
    const extents = partitionIds.map((partitionId, index) => ({
      partitionId,
      position: index * extentBytes,
      length: extentBytes,
      batches: Array.from({ length: load.batchesPerPartition }, (_, batch) => this.#batch(batch)),
    }));
    return {
      segmentId: randomUUID(),
      nodeId: membership.nodeId,
      incarnation: membership.view.incarnation,
      birthMs: membership.databaseNowMs(),
      sizeBytes: extents.length * extentBytes,
      extents,
    };
  }

  /** Each producer sends its batches of a partition in sequence, over all segments. */
  #batch(batch: number) {
    const { batchesPerPartition, producersPerPartition } = this.#options.load;
    const producerId = this.#producerIds[batch % producersPerPartition];
    invariant(producerId !== undefined, 'there is a producer');
    const perSegment = batchesPerPartition / producersPerPartition;
    const before = this.segmentsInAll * perSegment + Math.floor(batch / producersPerPartition);
    const timestampMs = systemClock.wallMs();
    return {
      recordCount: recordsPerBatch,
      firstTimestampMs: timestampMs,
      maxTimestampMs: timestampMs,
      producerId,
      producerEpoch: 0,
      baseSequence: before * recordsPerBatch,
      excluded: false,
    };
  }
}

function isAccepted(answer: SegmentAnswer): boolean {
  if (answer.kind !== 'committed') return false;
  return answer.extents.every((batches) => batches.every(({ errorCode }) => errorCode === 0));
}
