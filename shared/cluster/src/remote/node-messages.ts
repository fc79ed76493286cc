import { message, schema } from '@kafscale/codec';
import type { Decoded, Message } from '@kafscale/codec';
import type { ClusterView, NodeGrant, NodeInfo, NodeRegistration, NodeRole } from '../nodes.js';
import { checkedInteger, malformed } from './packed-rows.js';

const registrationFields = {
  instanceId: schema.string(),
  roles: schema.array(schema.string()),
  zone: schema.string(),
  internalUrl: schema.string(),
  advertised: schema.struct({ host: schema.string(), port: schema.int32() }, { nullable: '0+' }),
} as const;

const registrationMessage = message({
  name: 'RegisterNodeRequest',
  versions: '0',
  flexible: '0+',
  fields: registrationFields,
});

/** Which instance of which node: of heartbeats and goodbyes. */
const instanceMessage = message({
  name: 'NodeInstance',
  versions: '0',
  flexible: '0+',
  fields: { nodeId: schema.float64(), instanceId: schema.string() },
});

const viewMessage = message({
  name: 'ClusterView',
  versions: '0',
  flexible: '0+',
  fields: {
    /** −1 in the answer to a heartbeat. */
    nodeId: schema.float64(),
    clusterId: schema.string(),
    incarnation: schema.float64(),
    databaseTimeMs: schema.float64(),
    nodes: schema.array(
      schema.struct({
        ...registrationFields,
        nodeId: schema.float64(),
        /** −1: none. */
        brokerId: schema.int32(),
      }),
    ),
  },
});

export interface NodeInstance {
  readonly nodeId: number;
  readonly instanceId: string;
}

export function encodeRegistration(registration: NodeRegistration): Uint8Array[] {
  return registrationMessage.encode(registration, 0);
}

export function decodeRegistration(payload: Buffer): NodeRegistration {
  return unpackRegistration(registrationMessage.decode(payload, 0));
}

export function encodeNodeInstance(instance: NodeInstance): Uint8Array[] {
  return instanceMessage.encode(instance, 0);
}

export function decodeNodeInstance(payload: Buffer): NodeInstance {
  const { nodeId, instanceId } = instanceMessage.decode(payload, 0);
  return { nodeId: checkedInteger(nodeId), instanceId };
}

export function encodeClusterView(view: ClusterView): Uint8Array[] {
  return encodeView(view, -1);
}

export function decodeClusterView(payload: Buffer): ClusterView {
  const { nodeId: _unused, ...view } = decodeNodeGrant(payload);
  return view;
}

export function encodeNodeGrant(grant: NodeGrant): Uint8Array[] {
  return encodeView(grant, grant.nodeId);
}

export function decodeNodeGrant(payload: Buffer): NodeGrant {
  const view = viewMessage.decode(payload, 0);
  return {
    nodeId: checkedInteger(view.nodeId),
    clusterId: view.clusterId,
    incarnation: checkedInteger(view.incarnation),
    databaseTimeMs: view.databaseTimeMs,
    nodes: view.nodes.map((node): NodeInfo => ({
      ...unpackRegistration(node),
      nodeId: checkedInteger(node.nodeId),
      brokerId: node.brokerId === -1 ? null : node.brokerId,
    })),
  };
}

function encodeView(view: ClusterView, nodeId: number): Uint8Array[] {
  const { clusterId, incarnation, databaseTimeMs } = view;
  const nodes = view.nodes.map((node) => ({ ...node, brokerId: node.brokerId ?? -1 }));
  return viewMessage.encode({ nodeId, clusterId, incarnation, databaseTimeMs, nodes }, 0);
}

function unpackRegistration(packed: Decoded<Message<typeof registrationFields>>): NodeRegistration {
  const { instanceId, zone, internalUrl, advertised } = packed;
  return { instanceId, roles: packed.roles.map(roleOf), zone, internalUrl, advertised };
}

function roleOf(text: string): NodeRole {
  switch (text) {
    case 'front':
    case 'ingest':
    case 'fetch':
    case 'coordinator':
      return text;
    default:
      return malformed(`${text} is not a role`);
  }
}
