import type { NodeInfo } from '@kafscale/cluster';

/** A front as clients see it. */
export interface Broker {
  readonly brokerId: number;
  readonly host: string;
  readonly port: number;
  readonly zone: string;
}

/**
 * The fronts among the live nodes, by broker id, once each: a front that was killed and started again
 * shares its broker id with its dead self until that is declared dead, and so do all fronts behind
 * one load balancer.
 */
export function brokersOf(nodes: readonly NodeInfo[]): Broker[] {
  const brokers = new Map<number, Broker>();
  for (const { advertised, brokerId, zone } of nodes) {
    if (advertised === null || brokerId === null) continue;
    brokers.set(brokerId, { brokerId, ...advertised, zone });
  }
  return [...brokers.values()].sort((left, right) => left.brokerId - right.brokerId);
}

/** The fronts that a client of `zone` should talk to: those of its zone, or all. */
export function brokersNear(brokers: readonly Broker[], zone: string | null): readonly Broker[] {
  const near = brokers.filter((broker) => broker.zone === zone);
  return near.length > 0 ? near : brokers;
}

/**
 * The leader of a partition by rendezvous hash: every broker gets a weight for the key and the
 * heaviest wins, so a broker that comes or goes moves only the partitions that it wins or won.
 */
export function chooseLeader(brokers: readonly Broker[], key: string): Broker | undefined {
  let leader: Broker | undefined;
  let leaderWeight = -1;
  for (const broker of brokers) {
    const weight = fnv1a(`${broker.brokerId}/${key}`);
    if (weight > leaderWeight) {
      leader = broker;
      leaderWeight = weight;
    }
  }
  return leader;
}

/** A client says its zone in its client.id, as `rack=…` among other words. */
export function zoneOfClient(clientId: string | null): string | null {
  return /(?:^|[,;\s])rack=([^,;\s]+)/.exec(clientId ?? '')?.[1] ?? null;
}

/** FNV-1a, 32 bits, with a final mix so that keys that differ in their last digit spread. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
