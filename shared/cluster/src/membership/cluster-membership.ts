import { randomUUID } from 'node:crypto';
import { invariant, isOperatingError, limits, sleep } from '@kafscale/core';
import type { Clock, OperatingError } from '@kafscale/core';
import type { RpcLog } from '@kafscale/rpc';
import type { ClusterView, NodeInfo, NodeRegistration, NodeRole } from '../nodes.js';
import type { CoordinatorService } from '../services.js';

export interface ClusterMembershipOptions {
  readonly coordinator: Pick<CoordinatorService, 'register' | 'heartbeat' | 'deregister'>;
  /** The instance id is chosen here: fresh for every registration. */
  readonly registration: Omit<NodeRegistration, 'instanceId'>;
  readonly clock: Clock;
  readonly log: RpcLog;
  readonly heartbeatMs?: number;
}

/**
 * This process as a member of the cluster: registers it, keeps it alive by heartbeats, and holds what
 * they bring back: who else lives, the incarnation, and the database's time.
 */
export class ClusterMembership {
  readonly #options: ClusterMembershipOptions;
  readonly #heartbeatMs: number;
  readonly #closing = new AbortController();
  readonly #viewListeners = new Set<(view: ClusterView) => void>();
  readonly #fencedListeners = new Set<(oldNodeId: number) => void>();
  readonly #registeredListeners = new Set<(nodeId: number) => void>();
  #instanceId = randomUUID();
  #nodeId = -1;
  #view: ClusterView | null = null;
  #viewAtMs = 0;
  #isTroubled = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: ClusterMembershipOptions) {
    this.#options = options;
    this.#heartbeatMs = options.heartbeatMs ?? limits.nodeHeartbeatMs;
  }

  /**
   * Registers, trying again for as long as the failure is retriable; resolves when it has worked and
   * rejects with the OperatingError that another attempt can not help.
   */
  async start(): Promise<void> {
    invariant(this.#nodeId === -1, 'a membership is started once');
    await this.#register();
    this.#loop = this.#heartbeats();
  }

  /** −1 before the registration. Changes when the node was fenced. */
  get nodeId(): number {
    return this.#nodeId;
  }

  get view(): ClusterView {
    invariant(this.#view !== null, 'the view exists from start() on');
    return this.#view;
  }

  /** How old the view is: grows while the coordinator can not be reached. */
  viewAgeMs(): number {
    return this.#options.clock.monotonicMs() - this.#viewAtMs;
  }

  /** Live nodes with the role: those of this node's zone first, else in the registry's order. */
  nodesOf(role: NodeRole): readonly NodeInfo[] {
    const { zone } = this.#options.registration;
    const able = this.view.nodes.filter((node) => node.roles.includes(role));
    const near = able.filter((node) => node.zone === zone);
    return [...near, ...able.filter((node) => node.zone !== zone)];
  }

  /**
   * Database time in ms since the epoch, never later than the truth: the database's clock was read
   * before the answer arrived, and only what passed since the arrival is added.
   */
  databaseNowMs(): number {
    return Math.floor(this.view.databaseTimeMs + this.viewAgeMs());
  }

  /** Called with every new view. Returns how to stop. */
  onView(listener: (view: ClusterView) => void): () => void {
    this.#viewListeners.add(listener);
    return () => this.#viewListeners.delete(listener);
  }

  /**
   * Called when the cluster has declared this node dead, before it registers anew: nothing of the old
   * node id is committed any more.
   */
  onFenced(listener: (oldNodeId: number) => void): () => void {
    this.#fencedListeners.add(listener);
    return () => this.#fencedListeners.delete(listener);
  }

  /** Called after every registration, the first included. */
  onRegistered(listener: (nodeId: number) => void): () => void {
    this.#registeredListeners.add(listener);
    return () => this.#registeredListeners.delete(listener);
  }

  /** Stops the heartbeats and says goodbye, as well as it can. Never rejects for a lost coordinator. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    await this.#loop;
    if (this.#nodeId === -1) return;
    try {
      await this.#options.coordinator.deregister(this.#nodeId, this.#instanceId);
    } catch (error) {
      // Not heard, the goodbye becomes a death: the others notice when the heartbeats stay out.
      this.#trouble('goodbye', operatingErrorOf(error));
    }
  }

  async #register(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        const registration = { ...this.#options.registration, instanceId: this.#instanceId };
        const { nodeId, ...view } = await this.#options.coordinator.register(registration);
        this.#nodeId = nodeId;
        this.#accept(view);
        for (const listener of this.#registeredListeners) listener(nodeId);
        return;
      } catch (error) {
        const failure = operatingErrorOf(error);
        // An unknown outcome is tried again with the same instance id: it is the same instance.
        if (!failure.retriable && failure.outcome !== 'unknown') throw failure;
        this.#trouble('registration', failure);
        await sleep(this.#heartbeatMs, this.#closing.signal);
      }
    }
  }

  async #heartbeats(): Promise<void> {
    const { signal } = this.#closing;
    for (;;) {
      await sleep(this.#heartbeatMs, signal);
      if (signal.aborted) return;
      try {
        this.#accept(await this.#options.coordinator.heartbeat(this.#nodeId, this.#instanceId));
      } catch (error) {
        const failure = operatingErrorOf(error);
        if (failure.code === 'NODE_FENCED') await this.#startAnew();
        else this.#trouble('heartbeat', failure);
      }
    }
  }

  async #startAnew(): Promise<void> {
    const oldNodeId = this.#nodeId;
    this.#options.log('warn', 'this node was declared dead and registers anew', { oldNodeId });
    for (const listener of this.#fencedListeners) listener(oldNodeId);
    this.#instanceId = randomUUID();
    try {
      await this.#register();
    } catch (error) {
      // The next heartbeat, of an instance that is not registered, leads here again.
      this.#trouble('registration', operatingErrorOf(error));
    }
  }

  #accept(view: ClusterView): void {
    this.#viewAtMs = this.#options.clock.monotonicMs();
    this.#view = view;
    if (this.#isTroubled) this.#options.log('info', 'the coordinator answers again', {});
    this.#isTroubled = false;
    for (const listener of this.#viewListeners) listener(view);
  }

  /** One line when it begins, not one per heartbeat. */
  #trouble(what: string, failure: OperatingError): void {
    if (!this.#isTroubled) {
      const { code, message } = failure;
      this.#options.log('warn', `${what} failed`, { code, reason: message });
    }
    this.#isTroubled = true;
  }
}

function operatingErrorOf(error: unknown): OperatingError {
  if (isOperatingError(error)) return error;
  throw error;
}
