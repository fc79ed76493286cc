import { OperatingError } from '@kafscale/core';
import { describe, expect, test } from 'vitest';
import { ClusterMembership } from '../src/index.js';
import type { ClusterView, NodeGrant, NodeInfo, NodeRole } from '../src/index.js';
import { ScriptedCoordinator, uuidOf } from './scripted-coordinator.js';
import { cleanup, deferred, failureOf, HandClock, logTo, until } from './support.js';
import type { LogLine } from './support.js';

function nodeOf(nodeId: number, zone: string, ...roles: NodeRole[]): NodeInfo {
  const internalUrl = `ws://127.0.0.1:${9_000 + nodeId}`;
  const instanceId = uuidOf(nodeId);
  return { nodeId, brokerId: null, instanceId, roles, zone, internalUrl, advertised: null };
}

function viewOf(nodes: readonly NodeInfo[] = [], databaseTimeMs = 5_000_000): ClusterView {
  return { clusterId: 'cluster', incarnation: 1, databaseTimeMs, nodes };
}

function grantOf(nodeId: number, nodes: readonly NodeInfo[] = []): NodeGrant {
  return { ...viewOf(nodes), nodeId };
}

function membershipOf(coordinator: ScriptedCoordinator): {
  membership: ClusterMembership;
  clock: HandClock;
  log: LogLine[];
} {
  const clock = new HandClock();
  const log: LogLine[] = [];
  const membership = new ClusterMembership({
    coordinator,
    registration: {
      roles: ['ingest'],
      zone: 'a',
      internalUrl: 'ws://127.0.0.1:7000',
      advertised: null,
    },
    clock,
    log: logTo(log),
    heartbeatMs: 2,
  });
  cleanup(() => membership.close());
  return { membership, clock, log };
}

describe('being a member', () => {
  test('registers, beats, and says goodbye as the same instance', async () => {
    const coordinator = new ScriptedCoordinator();
    const instances: string[] = [];
    coordinator.onRegister = (registration) => {
      expect(registration).toMatchObject({ roles: ['ingest'], zone: 'a', advertised: null });
      instances.push(registration.instanceId);
      return Promise.resolve(grantOf(4));
    };
    let beats = 0;
    coordinator.onHeartbeat = (nodeId, instanceId) => {
      expect([nodeId, instanceId]).toEqual([4, instances[0]]);
      beats += 1;
      return Promise.resolve(viewOf());
    };
    const goodbyes: unknown[] = [];
    coordinator.onDeregister = (nodeId, instanceId) => {
      goodbyes.push([nodeId, instanceId]);
      return Promise.resolve();
    };
    const { membership } = membershipOf(coordinator);
    expect(membership.nodeId).toBe(-1);
    await membership.start();
    expect(membership.nodeId).toBe(4);
    await until(() => beats >= 3);
    await membership.close();
    await membership.close();
    expect(goodbyes).toEqual([[4, instances[0]]]);
    const after = beats;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(beats).toBe(after);
  });

  test('nodes of a role come with those of the own zone first', async () => {
    const coordinator = new ScriptedCoordinator();
    const nodes = [
      nodeOf(1, 'b', 'fetch'),
      nodeOf(2, 'a', 'fetch', 'front'),
      nodeOf(3, 'a', 'front'),
      nodeOf(4, 'c', 'fetch'),
      nodeOf(5, 'a', 'fetch'),
    ];
    coordinator.onRegister = () => Promise.resolve(grantOf(9, nodes));
    coordinator.onHeartbeat = () => Promise.resolve(viewOf(nodes.slice(0, 1)));
    const { membership } = membershipOf(coordinator);
    const seen: number[] = [];
    membership.onView((view) => seen.push(view.nodes.length));
    await membership.start();
    expect(membership.nodesOf('fetch').map(({ nodeId }) => nodeId)).toEqual([2, 5, 1, 4]);
    await until(() => seen.length >= 2);
    expect(seen.slice(0, 2)).toEqual([5, 1]);
    expect(membership.nodesOf('front')).toEqual([]);
  });

  test('database time counts from the arrival of the answer', async () => {
    const coordinator = new ScriptedCoordinator();
    const grant = deferred<NodeGrant>();
    coordinator.onRegister = () => grant.promise;
    coordinator.onHeartbeat = () => new Promise(() => {});
    const { membership, clock } = membershipOf(coordinator);
    const started = membership.start();
    clock.nowMs += 700; // on its way; the sample was taken somewhere in between
    grant.resolve(grantOf(1));
    await started;
    expect(membership.databaseNowMs()).toBe(5_000_000);
    clock.nowMs += 250.75;
    expect(membership.databaseNowMs()).toBe(5_000_250);
    expect(membership.viewAgeMs()).toBe(250.75);
  });
});

describe('trouble', () => {
  test('a registration that fails for now is tried again; one line says so', async () => {
    const coordinator = new ScriptedCoordinator();
    const instances: string[] = [];
    coordinator.onRegister = (registration) => {
      instances.push(registration.instanceId);
      if (instances.length === 1) {
        return Promise.reject(new OperatingError('LINK_DOWN', 'down', { retriable: true }));
      }
      if (instances.length === 2) {
        return Promise.reject(new OperatingError('LINK_LOST', 'lost', { outcome: 'unknown' }));
      }
      return Promise.resolve(grantOf(1));
    };
    coordinator.onHeartbeat = () => Promise.resolve(viewOf());
    const { membership, log } = membershipOf(coordinator);
    await membership.start();
    expect(new Set(instances).size).toBe(1); // the same instance: the second try may be a repeat
    expect(log.map(({ message }) => message)).toEqual([
      'registration failed',
      'the coordinator answers again',
    ]);
  });

  test('a registration that can not work is given up', async () => {
    const coordinator = new ScriptedCoordinator();
    coordinator.onRegister = () => Promise.reject(new OperatingError('ROLE_UNKNOWN', 'no'));
    const { membership } = membershipOf(coordinator);
    expect(await failureOf(membership.start())).toMatchObject({ code: 'ROLE_UNKNOWN' });
  });

  test('lost heartbeats change nothing but the age of the view', async () => {
    const coordinator = new ScriptedCoordinator();
    coordinator.onRegister = () => Promise.resolve(grantOf(1, [nodeOf(1, 'a', 'ingest')]));
    let beats = 0;
    const answered = deferred<ClusterView>();
    coordinator.onHeartbeat = () => {
      beats += 1;
      return beats < 5
        ? Promise.reject(new OperatingError('LINK_DOWN', 'down', { retriable: true }))
        : answered.promise;
    };
    const { membership, clock, log } = membershipOf(coordinator);
    await membership.start();
    clock.nowMs += 9_000;
    await until(() => beats === 5);
    expect(membership.nodeId).toBe(1);
    expect(membership.view.nodes).toHaveLength(1);
    answered.resolve(viewOf());
    await until(() => beats >= 6);
    expect(membership.viewAgeMs()).toBe(0);
    expect(log.map(({ message }) => message)).toEqual([
      'heartbeat failed',
      'the coordinator answers again',
    ]);
  });

  test('fenced: listeners first, then a new instance and a new node', async () => {
    const coordinator = new ScriptedCoordinator();
    const instances: string[] = [];
    const story: string[] = [];
    coordinator.onRegister = (registration) => {
      instances.push(registration.instanceId);
      story.push(`register ${instances.length}`);
      return Promise.resolve(grantOf(instances.length));
    };
    coordinator.onHeartbeat = (nodeId, instanceId) => {
      if (nodeId === 1) return Promise.reject(new OperatingError('NODE_FENCED', 'declared dead'));
      expect(instanceId).toBe(instances[1]);
      story.push('beat');
      return Promise.resolve(viewOf());
    };
    const { membership } = membershipOf(coordinator);
    membership.onFenced((oldNodeId) => story.push(`fenced ${oldNodeId}`));
    membership.onRegistered((nodeId) => story.push(`registered ${nodeId}`));
    await membership.start();
    await until(() => story.includes('beat'));
    expect(story.slice(0, 6)).toEqual([
      'register 1',
      'registered 1',
      'fenced 1',
      'register 2',
      'registered 2',
      'beat',
    ]);
    expect(instances[0]).not.toBe(instances[1]);
    expect(membership.nodeId).toBe(2);
  });

  test('a goodbye that nobody hears does not keep the process', async () => {
    const coordinator = new ScriptedCoordinator();
    coordinator.onRegister = () => Promise.resolve(grantOf(1));
    coordinator.onDeregister = () => Promise.reject(new OperatingError('LINK_DOWN', 'down'));
    const { membership, log } = membershipOf(coordinator);
    await membership.start();
    await membership.close();
    expect(log.at(-1)).toMatchObject({ message: 'goodbye failed' });
  });
});
