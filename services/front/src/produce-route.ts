import type { KafkaReply, KafkaRequest } from '@kafscale/cluster';
import { invariant, isOperatingError, OperatingError } from '@kafscale/core';

import type { ServiceDirectory, ServiceHandle } from './service-directory.js';

interface Call {
  readonly request: KafkaRequest;
  readonly signal: AbortSignal;
  readonly resolve: (reply: KafkaReply) => void;
  readonly reject: (error: unknown) => void;
  attempts: number;
}

/** How often one request may be offered to a node, the first time included. */
export const attemptsMax = 3;

/** The call was not delivered and never will be, and another node may do better. */
export function neverLeft(error: unknown): boolean {
  return isOperatingError(error) && error.retriable && error.outcome === 'failed';
}

/**
 * The Produce requests of one connection: to one ingest node, chosen at the first one and kept, so
 * that a producer's batches arrive where they were sent, in order.
 *
 * A request is never sent twice. One that provably never left may go to another node, and those
 * behind it must not have overtaken it then: it is parked, later ones are parked behind it, and
 * once nothing is in flight all of them go, in order, to the next node. Had a later request been
 * delivered in the meantime (its link came up again, say), the order can't be kept any more, and
 * the parked ones are rejected: the connection closes and the client, which knows only that the
 * outcome is unknown, sends them again.
 */
export class ProduceRoute {
  readonly #directory: ServiceDirectory;
  readonly #zone: string;
  #node: ServiceHandle | null = null;
  #inFlight = 0;
  #parked: Call[] = [];
  #newestDelivered = -1;
  /** The outcome of an earlier call is unknown or fatal: the connection is about to close. */
  #broken = false;
  readonly #avoid = new Set<number>();

  constructor(directory: ServiceDirectory, zone: string) {
    this.#directory = directory;
    this.#zone = zone;
  }

  handle(request: KafkaRequest, signal: AbortSignal): Promise<KafkaReply> {
    return new Promise((resolve, reject) => {
      const call: Call = { request, signal, resolve, reject, attempts: 0 };
      if (this.#parked.length > 0) this.#parked.push(call);
      else this.#send(call);
    });
  }

  /**
   * The node is gone for good. True when requests were in flight to it: nobody will learn their
   * outcome from it, so the connection must close (P4). Else the next request goes to another node.
   */
  nodeGone(nodeId: number): boolean {
    if (this.#node?.nodeId !== nodeId) return false;
    this.#node = null;
    if (this.#inFlight === 0) return false;
    this.#broken = true;
    return true;
  }

  #send(call: Call): void {
    const node = this.#broken ? null : this.#chooseNode();
    if (node === null) {
      this.#broken = true;
      call.reject(new OperatingError('NO_INGEST_NODE', 'no ingest node can take the request'));
      return;
    }
    call.attempts += 1;
    this.#inFlight += 1;
    this.#callNode(node, call).then(
      (reply) => this.#delivered(call, reply),
      (error: unknown) => this.#failed(call, error, node),
    );
  }

  #chooseNode(): ServiceHandle | null {
    this.#node ??= this.#directory.ingestFor(this.#zone, this.#avoid);
    return this.#node;
  }

  #callNode(node: ServiceHandle, call: Call): Promise<KafkaReply> {
    try {
      return node.service.handle(call.request, call.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #delivered(call: Call, reply: KafkaReply): void {
    this.#settled(call);
    if (reply.kind === 'close') this.#broken = true;
    call.resolve(reply);
    this.#resend();
  }

  #failed(call: Call, error: unknown, node: ServiceHandle): void {
    if (neverLeft(error) && call.attempts < attemptsMax && !this.#broken) {
      this.#inFlight -= 1;
      this.#avoid.add(node.nodeId);
      if (this.#node === node) this.#node = null;
      this.#parked.push(call);
    } else {
      this.#settled(call);
      this.#broken = true;
      call.reject(error);
    }
    this.#resend();
  }

  #settled(call: Call): void {
    this.#inFlight -= 1;
    this.#newestDelivered = Math.max(this.#newestDelivered, call.request.requestNumber);
  }

  #resend(): void {
    invariant(this.#inFlight >= 0, 'a call settles once');
    if (this.#parked.length === 0 || this.#inFlight > 0) return;
    const calls = this.#parked.sort(byRequestNumber);
    this.#parked = [];
    const oldest = calls[0]?.request.requestNumber ?? 0;
    if (oldest < this.#newestDelivered) this.#broken = true;
    for (const call of calls) {
      if (this.#broken) call.reject(orderLost());
      else this.#send(call);
    }
  }
}

function byRequestNumber(left: Call, right: Call): number {
  return left.request.requestNumber - right.request.requestNumber;
}

function orderLost(): OperatingError {
  return new OperatingError(
    'PRODUCE_ORDER_LOST',
    'a request was not delivered, and one behind it was',
    { outcome: 'failed' },
  );
}
