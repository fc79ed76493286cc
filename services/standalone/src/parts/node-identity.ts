import type { ClusterMembership } from '@kafscale/cluster';
import { invariant } from '@kafscale/core';

/**
 * Who this process is in the cluster, for parts that are made before it has registered: its address
 * is known only when its listeners are open, and no request arrives before it has registered.
 */
export class NodeIdentity {
  membership: ClusterMembership | null = null;

  /** −1 before the registration. */
  get nodeIdOrNone(): number {
    return this.membership?.nodeId ?? -1;
  }

  get writer(): { readonly nodeId: number; readonly incarnation: number } {
    const { nodeId, view } = this.#registered();
    return { nodeId, incarnation: view.incarnation };
  }

  databaseNowMs(): number {
    return this.#registered().databaseNowMs();
  }

  #registered(): ClusterMembership {
    const { membership } = this;
    invariant(membership !== null && membership.nodeId >= 0, 'the process has registered');
    return membership;
  }
}
