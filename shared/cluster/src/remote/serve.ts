import type { RpcCallHandler, RpcService, RpcStreamHandler } from '@kafscale/rpc';
import type { BlockService } from '../blocks.js';
import type { FeedMessage } from '../feed.js';
import type { KafkaService } from '../kafka-service.js';
import type { CoordinatorService, FetchService, IngestService } from '../services.js';
import { decodeBlockRead, encodeBlockAnswer } from './block-messages.js';
import { decodeCommit, encodeCommitAnswers } from './commit-messages.js';
import { decodeFeedOptions, encodeFeedMessage, encodeFeedPosition } from './feed-messages.js';
import { decodeKafkaRequest, encodeKafkaReply } from './kafka-envelope.js';
import {
  decodeLookup,
  decodeSegmentRange,
  encodeExtentList,
  encodeSegmentBytes,
} from './lookup-messages.js';
import {
  decodeNodeInstance,
  decodeRegistration,
  encodeClusterView,
  encodeNodeGrant,
} from './node-messages.js';
import {
  coordinatorMethods,
  coordinatorStreams,
  fetchMethods,
  ingestMethods,
  kafkaMethods,
} from './service-methods.js';

/** The server ends of the service interfaces: each turns frames into calls of the service. */

export function serveIngest(service: IngestService): RpcService {
  return {
    calls: new Map([
      [kafkaMethods.handle, handleOf(service)],
      [
        ingestMethods.readRecentSegment,
        async (payload) => {
          const { segmentId, position, length } = decodeSegmentRange(payload);
          return encodeSegmentBytes(await service.readRecentSegment(segmentId, position, length));
        },
      ],
    ]),
    streams: new Map(),
  };
}

/** `blocks`: what the node does for other fetch nodes. */
export function serveFetch(service: FetchService, blocks?: BlockService): RpcService {
  const calls = new Map<number, RpcCallHandler>([[kafkaMethods.handle, handleOf(service)]]);
  if (blocks !== undefined) {
    calls.set(fetchMethods.readExtents, async (payload) => {
      let release = (): void => undefined;
      const extents = await blocks.readExtents(decodeBlockRead(payload), (held) => {
        release = held;
      });
      return { chunks: encodeBlockAnswer(extents), release };
    });
  }
  return { calls, streams: new Map() };
}

export function serveCoordinator(service: CoordinatorService): RpcService {
  return {
    calls: new Map([
      [kafkaMethods.handle, handleOf(service)],
      ...registryCalls(service),
      [
        coordinatorMethods.commitSegments,
        async (payload) => encodeCommitAnswers(await service.commitSegments(decodeCommit(payload))),
      ],
      [
        coordinatorMethods.feedPosition,
        async () => encodeFeedPosition(await service.feedPosition()),
      ],
      ...lookupCalls(service),
    ]),
    streams: new Map([[coordinatorStreams.feed, feedOf(service)]]),
  };
}

/** `service.handle` is called before the first await: calls of one connection stay in order. */
function handleOf(service: KafkaService): RpcCallHandler {
  return async (payload, context) => {
    const reply = await service.handle(decodeKafkaRequest(payload), context.signal);
    const chunks = encodeKafkaReply(reply);
    const release = reply.kind === 'response' ? reply.release : undefined;
    return release === undefined ? chunks : { chunks, release };
  };
}

type Calls = readonly (readonly [number, RpcCallHandler])[];

function registryCalls(service: CoordinatorService): Calls {
  return [
    [
      coordinatorMethods.register,
      async (payload) => encodeNodeGrant(await service.register(decodeRegistration(payload))),
    ],
    [
      coordinatorMethods.heartbeat,
      async (payload) => {
        const { nodeId, instanceId } = decodeNodeInstance(payload);
        return encodeClusterView(await service.heartbeat(nodeId, instanceId));
      },
    ],
    [
      coordinatorMethods.deregister,
      async (payload) => {
        const { nodeId, instanceId } = decodeNodeInstance(payload);
        await service.deregister(nodeId, instanceId);
        return [];
      },
    ],
  ];
}

function lookupCalls(service: CoordinatorService): Calls {
  return [
    [
      coordinatorMethods.findExtents,
      async (payload) => {
        const { partitionId, key, countMax } = decodeLookup(payload);
        return encodeExtentList(await service.findExtents(partitionId, key, countMax));
      },
    ],
    [
      coordinatorMethods.findExtentByTimestamp,
      async (payload) => {
        const { partitionId, key } = decodeLookup(payload);
        const extent = await service.findExtentByTimestamp(partitionId, key);
        return encodeExtentList(extent === null ? [] : [extent]);
      },
    ],
    [
      coordinatorMethods.findExtentOfMaxTimestamp,
      async (payload) => {
        const extent = await service.findExtentOfMaxTimestamp(decodeLookup(payload).partitionId);
        return encodeExtentList(extent === null ? [] : [extent]);
      },
    ],
  ];
}

function feedOf(service: CoordinatorService): RpcStreamHandler {
  return (payload, stream, context) => {
    const { signal } = context;
    const subscription = service.subscribe(decodeFeedOptions(payload), {
      onMessage: (message) => stream.send(encodedOnce(message)),
      onClosed: (reason) => stream.end(reason),
    });
    // The stream may have ended already, by a snapshot that was too much for it.
    if (signal.aborted) subscription.close();
    else signal.addEventListener('abort', () => subscription.close(), { once: true });
  };
}

/** The owner hands one message object to all of its subscribers: it is encoded for the first. */
const encodedMessages = new WeakMap<FeedMessage, readonly Uint8Array[]>();

function encodedOnce(message: FeedMessage): readonly Uint8Array[] {
  const known = encodedMessages.get(message);
  if (known !== undefined) return known;
  const chunks = encodeFeedMessage(message);
  encodedMessages.set(message, chunks);
  return chunks;
}
