import type { RpcCaller } from '../protocol/handshake.js';
import type { Backlog } from './outgoing-queue.js';
import type { RpcContext } from './rpc-service.js';

/** A call or stream that the server works on. The AbortController is made only if somebody looks. */
export class ActiveCall implements RpcContext {
  readonly caller: RpcCaller;
  readonly payloadBytes: number;
  #controller: AbortController | undefined;
  #aborted = false;

  constructor(caller: RpcCaller, payloadBytes: number) {
    this.caller = caller;
    this.payloadBytes = payloadBytes;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  abort(): void {
    this.#aborted = true;
    this.#controller?.abort();
  }
}

export class ActiveStream extends ActiveCall {
  readonly backlog: Backlog = { bytes: 0, dropped: false };
}
