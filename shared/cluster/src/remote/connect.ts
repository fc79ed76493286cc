import { describeError, limits, OperatingError } from '@kafscale/core';
import { RpcLink } from '@kafscale/rpc';
import type { CallOptions, RpcLinkBounds, RpcLog } from '@kafscale/rpc';
import type { BlockRead, BlockService } from '../blocks.js';
import type { SegmentAnswer, SegmentCommit } from '../commit.js';
import type { Extent, FeedListener, FeedOptions, FeedPosition, FeedSubscription } from '../feed.js';
import type { KafkaReply, KafkaRequest, KafkaService } from '../kafka-service.js';
import type { ClusterView, NodeGrant, NodeRegistration } from '../nodes.js';
import type { CoordinatorService, FetchService, IngestService } from '../services.js';
import { decodeBlockAnswer, encodeBlockRead } from './block-messages.js';
import { decodeCommitAnswers, encodeCommit } from './commit-messages.js';
import { decodeFeedMessage, decodeFeedPosition, encodeFeedOptions } from './feed-messages.js';
import { decodeKafkaReply, encodeKafkaRequest } from './kafka-envelope.js';
import {
  decodeExtentList,
  decodeSegmentBytes,
  encodeLookup,
  encodeSegmentRange,
} from './lookup-messages.js';
import {
  decodeClusterView,
  decodeNodeGrant,
  encodeNodeInstance,
  encodeRegistration,
} from './node-messages.js';
import {
  coordinatorMethods,
  coordinatorStreams,
  fetchMethods,
  ingestMethods,
  kafkaMethods,
  servicePaths,
} from './service-methods.js';

/** Which of the links to a node this is: each class of call has one of its own. */
export type LinkClass = 'produce' | 'fetch' | 'blocks' | 'control';

export interface RemoteOptions {
  /** `ws://host:port` of the node's internal listener. */
  readonly url: string;
  readonly secret: string;
  /** This process, as it is now: the node id is −1 before it has registered. */
  readonly caller: () => { readonly nodeId: number; readonly role: string };
  readonly log: RpcLog;
  readonly bounds?: Partial<RpcLinkBounds>;
}

/** What a remote service has beside its interface. */
export interface RemoteService {
  readonly isUp: boolean;
  /** Calls in flight fail with outcome `unknown`. */
  close(): void;
}

export function connectIngest(
  options: RemoteOptions,
  linkClass: LinkClass,
): IngestService & RemoteService {
  return new RemoteIngest(openLink(options, servicePaths.ingest, linkClass));
}

export function connectFetch(options: RemoteOptions): FetchService & RemoteService {
  return new RemoteKafkaService(openLink(options, servicePaths.fetch, 'fetch'));
}

/** To another fetch node, by a link of its own: blocks never wait behind clients' requests. */
export function connectBlocks(options: RemoteOptions): BlockService & RemoteService {
  return new RemoteBlocks(openLink(options, servicePaths.fetch, 'blocks'));
}

export function connectCoordinator(options: RemoteOptions): CoordinatorService & RemoteService {
  return new RemoteCoordinator(openLink(options, servicePaths.coordinator, 'control'));
}

function openLink(options: RemoteOptions, path: string, linkClass: LinkClass): RpcLink {
  const { url, secret, log, bounds } = options;
  return new RpcLink({
    url,
    path,
    secret,
    log,
    caller: () => ({ ...options.caller(), linkClass }),
    ...(bounds === undefined ? {} : { bounds }),
  });
}

class RemoteKafkaService implements KafkaService, RemoteService {
  protected readonly link: RpcLink;

  constructor(link: RpcLink) {
    this.link = link;
  }

  get isUp(): boolean {
    return this.link.isUp;
  }

  close(): void {
    this.link.close();
  }

  /** No deadline: the callee knows how long a request may wait. */
  async handle(request: KafkaRequest, signal: AbortSignal): Promise<KafkaReply> {
    const chunks = encodeKafkaRequest(request);
    const payload = await this.link.call(kafkaMethods.handle, chunks, { signal });
    return readAnswer(payload, decodeKafkaReply);
  }
}

class RemoteBlocks implements BlockService, RemoteService {
  readonly #link: RpcLink;

  constructor(link: RpcLink) {
    this.#link = link;
  }

  get isUp(): boolean {
    return this.#link.isUp;
  }

  close(): void {
    this.#link.close();
  }

  async readExtents(read: BlockRead): Promise<readonly (Buffer | null)[]> {
    const chunks = encodeBlockRead(read);
    const payload = await this.#link.call(fetchMethods.readExtents, chunks, shortCall);
    const extents = readAnswer(payload, decodeBlockAnswer);
    if (extents.length !== read.wanted.length) throw unreadable('an extent is missing');
    return extents;
  }
}

class RemoteIngest extends RemoteKafkaService implements IngestService {
  async readRecentSegment(
    segmentId: string,
    position: number,
    length: number,
  ): Promise<Buffer | null> {
    const chunks = encodeSegmentRange({ segmentId, position, length });
    const payload = await this.link.call(ingestMethods.readRecentSegment, chunks, shortCall);
    return readAnswer(payload, decodeSegmentBytes);
  }
}

class RemoteCoordinator extends RemoteKafkaService implements CoordinatorService {
  async register(registration: NodeRegistration): Promise<NodeGrant> {
    const chunks = encodeRegistration(registration);
    return readAnswer(
      await this.link.call(coordinatorMethods.register, chunks, shortCall),
      decodeNodeGrant,
    );
  }

  async heartbeat(nodeId: number, instanceId: string): Promise<ClusterView> {
    const chunks = encodeNodeInstance({ nodeId, instanceId });
    return readAnswer(
      await this.link.call(coordinatorMethods.heartbeat, chunks, shortCall),
      decodeClusterView,
    );
  }

  async deregister(nodeId: number, instanceId: string): Promise<void> {
    const chunks = encodeNodeInstance({ nodeId, instanceId });
    await this.link.call(coordinatorMethods.deregister, chunks, shortCall);
  }

  async commitSegments(segments: readonly SegmentCommit[]): Promise<readonly SegmentAnswer[]> {
    const options = { deadlineMs: limits.commitTimeoutMs };
    const chunks = encodeCommit(segments);
    const payload = await this.link.call(coordinatorMethods.commitSegments, chunks, options);
    const answers = readAnswer(payload, decodeCommitAnswers);
    if (answers.length !== segments.length) throw unreadable('an answer per segment is missing');
    return answers;
  }

  async feedPosition(): Promise<FeedPosition> {
    return readAnswer(
      await this.link.call(coordinatorMethods.feedPosition, [], shortCall),
      decodeFeedPosition,
    );
  }

  subscribe(options: FeedOptions, listener: FeedListener): FeedSubscription {
    const stream = this.link.openStream(coordinatorStreams.feed, encodeFeedOptions(options), {
      onMessage: (payload) => {
        let message;
        try {
          message = decodeFeedMessage(payload);
        } catch (error) {
          stream.close();
          return listener.onClosed(`unreadable feed message: ${describeError(error)}`);
        }
        listener.onMessage(message);
      },
      onClosed: (reason) => listener.onClosed(reason),
    });
    return stream;
  }

  findExtents(partitionId: number, offset: number, countMax: number): Promise<readonly Extent[]> {
    return this.#lookUp(coordinatorMethods.findExtents, partitionId, offset, countMax);
  }

  async findExtentByTimestamp(partitionId: number, timestampMs: number): Promise<Extent | null> {
    const method = coordinatorMethods.findExtentByTimestamp;
    return (await this.#lookUp(method, partitionId, timestampMs, 1))[0] ?? null;
  }

  async findExtentOfMaxTimestamp(partitionId: number): Promise<Extent | null> {
    const method = coordinatorMethods.findExtentOfMaxTimestamp;
    return (await this.#lookUp(method, partitionId, 0, 1))[0] ?? null;
  }

  async #lookUp(
    method: number,
    partitionId: number,
    key: number,
    countMax: number,
  ): Promise<readonly Extent[]> {
    const chunks = encodeLookup({ partitionId, key, countMax });
    return readAnswer(await this.link.call(method, chunks, shortCall), decodeExtentList);
  }
}

const shortCall: CallOptions = { deadlineMs: limits.rpcShortCallMsMax };

/** An answer that can not be read says nothing about what was done: its outcome is unknown. */
function readAnswer<Value>(payload: Buffer, decode: (payload: Buffer) => Value): Value {
  try {
    return decode(payload);
  } catch (error) {
    throw unreadable(describeError(error), error);
  }
}

function unreadable(reason: string, cause?: unknown): OperatingError {
  return new OperatingError('ANSWER_UNREADABLE', reason, { cause, outcome: 'unknown' });
}
