import type { KafkaService } from '@kafscale/cluster';

/** A live node that serves. In standalone every role is a handle on the service itself. */
export interface ServiceHandle {
  readonly nodeId: number;
  readonly service: KafkaService;
}

/**
 * Who is live, as the front's connections see it. A choice may differ from call to call, so that
 * connections spread over the nodes; a connection keeps what it got until the node goes.
 */
export interface ServiceDirectory {
  /** Same zone first, then any; null when there is none outside of `avoid`. */
  ingestFor(zone: string, avoid?: ReadonlySet<number>): ServiceHandle | null;
  /** Same zone first, then any; null when there is none outside of `avoid`. */
  fetchFor(zone: string, avoid?: ReadonlySet<number>): ServiceHandle | null;
  coordinator(avoid?: ReadonlySet<number>): ServiceHandle | null;
  /**
   * `listener` hears of every node that is gone for good, after the directory has stopped naming it.
   * Returns the function that ends this.
   */
  onNodeGone(listener: (nodeId: number) => void): () => void;
}
